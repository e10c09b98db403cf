/* plugin.h - a device that lives in a library of its own, libtern_<name>, which is opened when it is asked for: neither libtern nor the
 * command needs its GPU libraries.
 *
 * Such a library exports one function, tern_device_plugin. It is built from the same sources as the libtern that opens it and links the
 * static one for what src/base and src/program give it. It is looked for in the folder that the environment's TERN_PLUGIN_PATH names;
 * without it beside libtern (or the program that contains it), in the folder tern there, and in ../lib/tern. It is never closed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_PLUGIN_H
#define TERN_DEVICE_PLUGIN_H

#include "device/device.h"

/* What both sides must agree about; compared number by number. */
typedef struct tern_device_contract {
    uint32_t version[3];      /* Tern's */
    uint32_t n_ops, n_inputs; /* of ops.def and tern_input */
    /* Sizes of the structs that cross. */
    uint32_t info, record, program, node, value, weight, batch, output, options, properties, device_info, error;
} tern_device_contract;

#define TERN_DEVICE_CONTRACT                                                                                                               \
    {                                                                                                                                      \
        {TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH}, TERN_N_OPS, TERN_N_INPUTS, sizeof(tern_device_plugin_info),          \
            sizeof(tern_device_record), sizeof(tern_program), sizeof(tern_node), sizeof(tern_value_info), sizeof(tern_weight),             \
            sizeof(tern_batch), sizeof(tern_run_output), sizeof(tern_device_options), sizeof(tern_device_properties),                      \
            sizeof(tern_device_info), sizeof(tern_error)                                                                                   \
    }

typedef struct tern_device_plugin_info {
    tern_device_contract contract;
    const tern_device_record *record; /* as long as the process lives */
    /* NULL, or: are the libraries that it was linked with those that are there? Asked too when they lack symbols, so it may call of them
     * only what every version has. */
    tern_status (*check_libraries)(tern_error *err);
} tern_device_plugin_info;

/* What the library exports. */
#define TERN_DEVICE_PLUGIN_SYMBOL "tern_device_plugin"
typedef const tern_device_plugin_info *tern_device_plugin_function(void);
TERN_API const tern_device_plugin_info *tern_device_plugin(void);

/* The record of libtern_<name>. Fails with TERN_E_DEVICE and the reason: not found, does not load, of another build. */
tern_status tern__device_plugin_open(const tern_device_record **out, const char *name, tern_error *err);

#endif
