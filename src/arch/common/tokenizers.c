/* tokenizers.c - see tokenizers.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/tokenizers.h"

const tern_arch_tokenizer tern__tokenizer_bert = {.vocabulary = TERN_VOCABULARY_WORDPIECE,
                                                  .lowercase = true,
                                                  .pad = "[PAD]",
                                                  .unk = "[UNK]",
                                                  .cls = "[CLS]",
                                                  .sep = "[SEP]",
                                                  .mask = "[MASK]",
                                                  .cls_key = "cls_token_id",
                                                  .sep_key = "sep_token_id",
                                                  .n_between = 1};

const tern_arch_tokenizer tern__tokenizer_xlm_roberta = {.vocabulary = TERN_VOCABULARY_UNIGRAM,
                                                         .pad = "<pad>",
                                                         .unk = "<unk>",
                                                         .cls = "<s>",
                                                         .sep = "</s>",
                                                         .mask = "<mask>",
                                                         .cls_key = "bos_token_id",
                                                         .sep_key = "eos_token_id",
                                                         .n_between = 2};
