# Writes OUTPUT with what `git describe` says of SOURCE, when it changed: cmake -DSOURCE=... -DOUTPUT=... -P git-version.cmake
cmake_minimum_required(VERSION 3.22)
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12
  OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
if(NOT status EQUAL 0 OR version STREQUAL "")
  set(version unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define TERN_GIT \"@version@\"\n" @ONLY)
