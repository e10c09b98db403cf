/* builtin_config.c - configs by name, for checkpoints with random weights where no hub is reachable: the settings that their publishers
 * give, in src/model/configs.json, which becomes a part of the library.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "model/model.h"

static const char configs[] = {
#include "model_configs.inc"
};

/* "a, b, c" of the object's keys; cut where `out` ends. */
static void list_names(char *out, size_t n_bytes, json_t *all) {
    size_t used = 0;
    const char *name;
    json_t *value;
    out[0] = '\0';
    json_object_foreach(all, name, value) {
        if (used < n_bytes) used += (size_t)snprintf(out + used, n_bytes - used, "%s%s", used > 0 ? ", " : "", name);
    }
}

tern_status tern__builtin_config_load(json_t **out, const char *name, tern_error *err) {
    json_t *all;
    *out = NULL;
    TERN_TRY(tern__json_parse(&all, configs, sizeof configs, "configs.json", err));
    tern_status status = TERN_OK;
    json_t *config = json_object_get(all, name);
    if (config != NULL) {
        *out = json_incref(config);
    } else if (!tern__file_exists(name)) {
        char names[400];
        list_names(names, sizeof names, all);
        status = TERN_FAIL(err, TERN_E_IO, "%.300s: there is no such file, and no built-in config of that name; those are %s", name, names);
    }
    json_decref(all);
    return status;
}
