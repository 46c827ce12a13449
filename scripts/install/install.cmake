# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where, the target that takes it away again, and the Debian package that cpack makes of it.
# Included by the top CMakeLists.txt, behind the program that it installs.
option(MONITOR_EXTRAS "Make and install the man page and the shell completions (needs python3 and gzip)" ON)

# The package's name, and that of its documentation (Debian's policy wants them to be one). Not "monitor": in the single
# name space of a Debian archive that would say nothing. What is typed every day is the program, and that is `monitor`.
set(monitor_package uvicorn-monitor)
set(CMAKE_INSTALL_DOCDIR share/doc/${monitor_package} CACHE STRING "Documentation, below the prefix")
include(GNUInstallDirs)

set(monitor_man_directory ${CMAKE_INSTALL_MANDIR}/man8)
set(monitor_bash_directory ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
# Where zsh looks below /usr/local, and where Debian's zsh looks for what packages bring.
set(monitor_zsh_directory ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
set(monitor_zsh_package_directory ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
if(CMAKE_INSTALL_PREFIX STREQUAL /usr)
  set(monitor_zsh_directory ${monitor_zsh_package_directory})
endif()

# Three components. main: everywhere; local: by `cmake --install` alone; package: in the package alone. cpack installs by
# component, which also keeps it from overwriting install_manifest.txt, by which the target uninstall goes.
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
# Debian has the text of the licence on every machine.
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT local)

if(MONITOR_EXTRAS)
  include(${CMAKE_CURRENT_LIST_DIR}/extras.cmake)
endif()

add_custom_target(uninstall VERBATIM USES_TERMINAL COMMAND ${CMAKE_COMMAND}
  -Dmanifest=${PROJECT_BINARY_DIR}/install_manifest.txt -Drecord=${monitor_directory_record}
  -P ${CMAKE_CURRENT_LIST_DIR}/uninstall.cmake)

include(${CMAKE_CURRENT_LIST_DIR}/debian.cmake)
