# SPDX-License-Identifier: Apache-2.0
# Runs first in `cmake --install`: appends to the file `record` those of the `directories` to install to, and of their
# parents, that do not exist yet. CMake's own manifest lists only files, so an uninstall could not distinguish a directory
# that we created from an older one. Lines of an earlier install stay, because we created those directories too.
set(made "")
foreach(directory IN LISTS directories)
  cmake_path(ABSOLUTE_PATH directory BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}" NORMALIZE)
  set(path "$ENV{DESTDIR}${directory}")
  while(NOT EXISTS "${path}")
    string(APPEND made "${path}\n")
    cmake_path(GET path PARENT_PATH path)
  endwhile()
endforeach()
file(APPEND "${record}" "${made}")
