/* registry.c - the list of architectures, one for each other file of this folder (CMake writes arch_list.inc from their names).
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/arch.h"

#include <stdio.h>
#include <string.h>

#define TERN_ARCH(name) extern const tern_arch tern__arch_##name;
#include "arch_list.inc"
#undef TERN_ARCH

static const tern_arch *const records[] = {
#define TERN_ARCH(name) &tern__arch_##name,
#include "arch_list.inc"
#undef TERN_ARCH
    NULL};

const tern_arch *const *tern__arch_records(void) { return records; }

tern_status tern__arch_find(const tern_arch **out, const tern_arch_class **arch_class, const char *model_type, tern_error *err) {
    char known[1024] = "";
    for (const tern_arch *const *arch = records; *arch != NULL; arch++)
        for (const tern_arch_class *class = (*arch)->classes; class->model_type != NULL; class ++) {
            if (strcmp(class->model_type, model_type) == 0) {
                *out = *arch;
                *arch_class = class;
                return TERN_OK;
            }
            const size_t used = strlen(known);
            snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", class->model_type);
        }
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "model_type \"%.60s\" is not known to this version; known are: %s", model_type,
                     known);
}

tern_head tern__arch_head(const tern_arch_class *arch_class, const char *architecture) {
    static const struct {
        const char *ending;
        tern_head head;
    } heads[] = {{"ForPreTraining", TERN_HEAD_PRE_TRAINING},
                 {"ForMaskedLM", TERN_HEAD_MASKED_LM},
                 {"ForNextSentencePrediction", TERN_HEAD_NEXT_SENTENCE_PREDICTION},
                 {"ForSequenceClassification", TERN_HEAD_SEQUENCE_CLASSIFICATION},
                 {"ForTokenClassification", TERN_HEAD_TOKEN_CLASSIFICATION},
                 {"ForQuestionAnswering", TERN_HEAD_QUESTION_ANSWERING},
                 {"ForMultipleChoice", TERN_HEAD_MULTIPLE_CHOICE}};
    const size_t n_stem = strlen(arch_class->base_class) - strlen("Model");
    if (architecture == NULL || strncmp(architecture, arch_class->base_class, n_stem) != 0) return TERN_HEAD_NONE;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strcmp(architecture + n_stem, heads[i].ending) == 0) return heads[i].head;
    return TERN_HEAD_NONE;
}
