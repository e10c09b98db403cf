# What `cmake --install` puts where: headers, libraries, pkg-config file, CMake package, man page; the command installs itself.
# Both packages find their files relative to themselves, so an installed tree may move.
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/docs/tern.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(TARGETS tern_static tern_shared EXPORT ternTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} OR IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
  set(TERN_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
  set(TERN_PC_LIBDIR ${CMAKE_INSTALL_FULL_LIBDIR})
  set(TERN_PC_INCLUDEDIR ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
  file(RELATIVE_PATH up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
  string(REGEX REPLACE "/$" "" up ${up})
  set(TERN_PC_PREFIX "\${pcfiledir}/${up}")
  set(TERN_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(TERN_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/tern.pc.in ${PROJECT_BINARY_DIR}/package/tern.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/tern.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/tern)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/ternConfig.cmake.in ${PROJECT_BINARY_DIR}/package/ternConfig.cmake
  INSTALL_DESTINATION ${package} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/ternConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/ternConfig.cmake ${PROJECT_BINARY_DIR}/package/ternConfigVersion.cmake DESTINATION ${package})
install(EXPORT ternTargets NAMESPACE tern:: DESTINATION ${package})
