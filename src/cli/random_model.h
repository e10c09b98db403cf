/* random_model.h - a well-known model for a measurement: from the cache of the hub, else with random weights.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_RANDOM_MODEL_H
#define TERN_CLI_RANDOM_MODEL_H

#include <stdbool.h>

/* tern__cli_known_model - the folder of a model that tern_checkpoint_init has built in: the cached repository of that name (nothing is
 * downloaded), else a checkpoint with random weights of seed 0, which is made once under XDG_CACHE_HOME/tern (~/.cache/tern). *folder is
 * freed with free(). Says what it does on standard error; returns an exit code. */
int tern__cli_known_model(char **folder, bool *is_random, const char *name);

#endif
