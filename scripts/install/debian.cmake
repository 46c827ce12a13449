# SPDX-License-Identifier: Apache-2.0
# The Debian package: `cpack --config build/release/CPackConfig.cmake` makes build/release/uvicorn-monitor_….deb. Needs
# dpkg-dev, whose dpkg-shlibdeps finds the dependencies, and file, by which CPack recognises programs.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ${monitor_package})
set(CPACK_PACKAGE_CONTACT "The authors of monitor <monitor@example.org>" CACHE STRING "The package's maintainer")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "show what a running uvicorn is doing")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_CMAKE_PROJECTS "${PROJECT_BINARY_DIR};monitor;main;/;${PROJECT_BINARY_DIR};monitor;package;/")
# Independent of the builder's umask.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
  WORLD_EXECUTE)
set(CPACK_STRIP_FILES ON)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Shows requests in flight by endpoint, the peak, totals, failures, queue
depth, CPU and memory of a running uvicorn, gunicorn or hypercorn. It attaches
eBPF programs from outside and changes nothing in the server.
The program is called monitor. It needs Linux 6.1 or later with BTF, and root.")

# The systemd service and the file with its options. Only the package has them: its scripts stop the service and clean up
# when the package is removed, and a build installed by hand has no such scripts.
set(monitor_program ${CPACK_PACKAGING_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/monitor)
set(monitor_documentation ${CPACK_PACKAGING_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR})
set(monitor_debian_directory ${CMAKE_CURRENT_LIST_DIR}/debian)
configure_file(${monitor_debian_directory}/uvicorn-monitor.service.in ${PROJECT_BINARY_DIR}/uvicorn-monitor.service
  @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/uvicorn-monitor.service DESTINATION /lib/systemd/system COMPONENT package
  EXCLUDE_FROM_ALL)
install(FILES ${monitor_debian_directory}/uvicorn-monitor.default DESTINATION /etc/default RENAME ${monitor_package}
  COMPONENT package EXCLUDE_FROM_ALL)
set(monitor_control conffiles postinst prerm postrm)
list(TRANSFORM monitor_control PREPEND ${monitor_debian_directory}/)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${monitor_control})
include(CPack)
