/* cache_folder.h - where the command keeps what it can make again.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_CACHE_FOLDER_H
#define TERN_CLI_CACHE_FOLDER_H

/* tern__cli_cache_folder - $XDG_CACHE_HOME/tern, else ~/.cache/tern, there or not; freed with free(). NULL when neither XDG_CACHE_HOME nor
 * HOME is an absolute path, or memory is short. */
char *tern__cli_cache_folder(void);

#endif
