# SPDX-License-Identifier: Apache-2.0
# Runs first of all in `cmake --install`: adds to the file `record` which of the `directories` that are about to be filled
# do not exist yet, with those above them. CMake's own manifest lists files alone, so that an uninstall could not tell a
# directory that came with us from one that was there. An earlier install's lines stay: its directories are still ours.
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
