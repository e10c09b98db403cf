/* labels.c - the labels of a classifier: config.json's id2label, {"0": "NEGATIVE", "1": "POSITIVE"}.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "model/model.h"

static bool is_classifier(tern_head head) { return head == TERN_HEAD_SEQUENCE_CLASSIFICATION || head == TERN_HEAD_TOKEN_CLASSIFICATION; }

tern_status tern__labels_read(tern_folder *folder, tern_error *err) {
    if (!is_classifier(folder->facts.head)) return TERN_OK;
    const int32_t logits = tern__program_find_output(folder->program, "logits");
    const int64_t n_labels = tern__value(folder->program, folder->program->outputs[logits].value)->width;
    folder->labels = tern__alloc_zero((size_t)n_labels, sizeof *folder->labels);
    if (folder->labels == NULL) return TERN_FAIL_MEMORY(err, (size_t)n_labels * sizeof *folder->labels);
    folder->n_labels = n_labels;
    const json_t *id2label = json_object_get(folder->config, "id2label");
    for (int64_t i = 0; i < n_labels; i++) {
        char key[24], name[32];
        snprintf(key, sizeof key, "%lld", (long long)i);
        snprintf(name, sizeof name, "LABEL_%lld", (long long)i);
        const char *label = json_string_value(json_object_get(id2label, key));
        if (label == NULL) label = name;
        folder->labels[i] = tern__arena_copy(&folder->label_names, label, strlen(label));
        if (folder->labels[i] == NULL) return TERN_FAIL_MEMORY(err, strlen(label) + 1);
    }
    return TERN_OK;
}

const char *tern_model_label(const tern_model *model, int64_t label) {
    return label >= 0 && label < model->folder.n_labels ? model->folder.labels[label] : NULL;
}
