/* model_folder.h - where the model of a MODEL argument is: a folder, or a repository of the hub, in its cache or downloaded.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_MODEL_FOLDER_H
#define TERN_CLI_MODEL_FOLDER_H

#include "tern.h"

/* tern__cli_model_folder - *folder is freed with tern_free; tokenizer_only: weights are not downloaded. Says why on standard error when it
 * fails; returns an exit code. */
int tern__cli_model_folder(char **folder, const char *model, bool tokenizer_only);

/* tern__cli_hub_pull - tern_hub_pull with a progress line on standard error where a person watches. */
tern_status tern__cli_hub_pull(char **folder, const char *repo_id, tern_hub_options *options, tern_error *err);

#endif
