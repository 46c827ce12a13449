# SPDX-License-Identifier: Apache-2.0
# Generates the man page and the completions for bash and zsh from the help of the program that was just built. Also
# compresses the package's changelog, as Debian requires.
find_package(Python3 COMPONENTS Interpreter)
find_program(MONITOR_GZIP gzip)
if(NOT Python3_FOUND OR NOT MONITOR_GZIP)
  message(FATAL_ERROR "python3 and gzip make the man page and the completions; one of them is missing. "
    "Install it, or do without these files: -DMONITOR_EXTRAS=OFF")
endif()

set(monitor_extras_directory ${PROJECT_BINARY_DIR}/extras)
file(MAKE_DIRECTORY ${monitor_extras_directory})

# monitor_extra(OUTPUT SCRIPT ARGUMENT…): writes the script's output to OUTPUT whenever the script or the program changes.
function(monitor_extra output script)
  add_custom_command(OUTPUT ${monitor_extras_directory}/${output} VERBATIM
    COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${script} ${ARGN}
      > ${monitor_extras_directory}/${output}
    DEPENDS monitor ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${script} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/help_text.py
      ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/man_sections.roff)
endfunction()

monitor_extra(monitor.8 man_page.py $<TARGET_FILE:monitor> ${CMAKE_CURRENT_LIST_DIR}/man_sections.roff)
monitor_extra(monitor.bash completions.py bash $<TARGET_FILE:monitor>)
monitor_extra(_monitor completions.py zsh $<TARGET_FILE:monitor>)
# -n omits name and time, so that the same text gives the same file.
function(monitor_compressed output input)
  add_custom_command(OUTPUT ${monitor_extras_directory}/${output} VERBATIM
    COMMAND ${MONITOR_GZIP} -9 -n -c ${input} > ${monitor_extras_directory}/${output} DEPENDS ${input})
endfunction()

monitor_compressed(monitor.8.gz ${monitor_extras_directory}/monitor.8)
monitor_compressed(changelog.gz ${CMAKE_CURRENT_LIST_DIR}/changelog)
add_custom_target(monitor_extras ALL DEPENDS ${monitor_extras_directory}/monitor.8.gz
  ${monitor_extras_directory}/monitor.bash ${monitor_extras_directory}/_monitor ${monitor_extras_directory}/changelog.gz)

install(FILES ${monitor_extras_directory}/monitor.8.gz DESTINATION ${monitor_man_directory} COMPONENT main)
install(FILES ${monitor_extras_directory}/monitor.bash DESTINATION ${monitor_bash_directory} RENAME monitor
  COMPONENT main)
install(FILES ${monitor_extras_directory}/_monitor DESTINATION ${monitor_zsh_directory} COMPONENT local)
install(FILES ${monitor_extras_directory}/_monitor DESTINATION ${monitor_zsh_package_directory} COMPONENT package
  EXCLUDE_FROM_ALL)
install(FILES ${monitor_extras_directory}/changelog.gz DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT package
  EXCLUDE_FROM_ALL)
