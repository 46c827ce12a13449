# SPDX-License-Identifier: Apache-2.0
# The rules of `cmake --install`, the target that uninstalls, and the Debian package that cpack makes. The top
# CMakeLists.txt includes it after the targets that it installs.
option(MONITOR_EXTRAS "Make and install the man page and the shell completions (needs python3 and gzip)" ON)

# The name of the package and of its documentation directory, which Debian's policy requires to be the same. "monitor"
# would be too general for a package in a Debian archive; the program keeps that name.
set(monitor_package uvicorn-monitor)
set(CMAKE_INSTALL_DOCDIR share/doc/${monitor_package} CACHE STRING "Documentation, below the prefix")
include(GNUInstallDirs)

set(monitor_man_directory ${CMAKE_INSTALL_MANDIR}/man8)
set(monitor_bash_directory ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
# zsh searches the first below /usr/local; Debian's zsh searches the second for completions from packages.
set(monitor_zsh_directory ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
set(monitor_zsh_package_directory ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
if(CMAKE_INSTALL_PREFIX STREQUAL /usr)
  set(monitor_zsh_directory ${monitor_zsh_package_directory})
endif()

# Three components. main: installed everywhere; local: only by `cmake --install`; package: only in the package. cpack
# installs by component, so it does not overwrite install_manifest.txt, which the target uninstall reads.
set(monitor_directories ${CMAKE_INSTALL_BINDIR} ${CMAKE_INSTALL_DOCDIR}/docs/schema ${CMAKE_INSTALL_DOCDIR}/docs/grafana)
if(MONITOR_EXTRAS)
  list(APPEND monitor_directories ${monitor_man_directory} ${monitor_bash_directory} ${monitor_zsh_directory})
endif()
set(monitor_directory_record ${PROJECT_BINARY_DIR}/install_directories.txt)
install(CODE "set(directories \"${monitor_directories}\")\nset(record \"${monitor_directory_record}\")" COMPONENT local)
install(SCRIPT ${CMAKE_CURRENT_LIST_DIR}/record_directories.cmake COMPONENT local)

install(TARGETS monitor RUNTIME COMPONENT main)
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${CMAKE_CURRENT_LIST_DIR}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT main)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT main)
# Every Debian machine already has the texts of the licences.
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/bpf/LICENSE.GPL-2.0-only
  ${PROJECT_SOURCE_DIR}/bpf/LICENSE.BSD-2-Clause DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT local)

if(MONITOR_EXTRAS)
  include(${CMAKE_CURRENT_LIST_DIR}/extras.cmake)
endif()

add_custom_target(uninstall VERBATIM USES_TERMINAL COMMAND ${CMAKE_COMMAND}
  -Dmanifest=${PROJECT_BINARY_DIR}/install_manifest.txt -Drecord=${monitor_directory_record}
  -P ${CMAKE_CURRENT_LIST_DIR}/uninstall.cmake)

include(${CMAKE_CURRENT_LIST_DIR}/debian.cmake)
