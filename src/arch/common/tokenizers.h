/* tokenizers.h - the kinds of tokenizer that several architectures share. The others are in the architecture's own file.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_ARCH_TOKENIZERS_H
#define TERN_ARCH_TOKENIZERS_H

#include "arch/arch.h"

extern const tern_arch_tokenizer tern__tokenizer_bert;        /* lower case, [CLS] a [SEP] b [SEP] */
extern const tern_arch_tokenizer tern__tokenizer_xlm_roberta; /* SentencePiece, <s> a </s></s> b </s> */

#endif
