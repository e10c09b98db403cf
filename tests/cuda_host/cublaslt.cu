/* cublaslt.cu - cublaslt.cpp as a library for a GPU, in place of NVIDIA's: so that compute-sanitizer sees kernels of ours alone, as it
 * cannot follow cuBLASLt's own on Hopper (scripts/test-cuda). It says that its version is 0. SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

static host_state state;
host_state *tern_cuda_host(void) { return &state; }
static void host_note_choice() {}

#include "cublaslt.cpp"
