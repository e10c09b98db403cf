/* activations.cuh - elementwise ops in float32, right to the bounds of tests/unit/reference_ops.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_ACTIVATIONS_CUH
#define TERN_DEVICE_CUDA_ACTIVATIONS_CUH

#include "device/cuda/kernels.h"
#include "device/cuda/launch.cuh"

/* expm1 keeps it right to 3 u, which tanhf is not. */
static __device__ __forceinline__ float tanh_of(float x) {
    const float e = expm1f(2.0f * fminf(fabsf(x), 20.0f));
    return copysignf(e / (e + 2.0f), x);
}

static __device__ __forceinline__ float apply(tern_op op, float a, float b) {
    switch (op) {
    case TERN_OP_ADD:
        return a + b;
    case TERN_OP_MULTIPLY:
        return a * b;
    case TERN_OP_GELU:
        return 0.5f * a * (1.0f + erff(a * 0.70710678f));
    case TERN_OP_GELU_TANH:
        return a / (1.0f + expf(-1.5957691216f * (a + 0.044715f * a * a * a)));
    case TERN_OP_QUICK_GELU:
        return a / (1.0f + expf(-1.702f * a));
    case TERN_OP_RELU:
        return a > 0.0f ? a : 0.0f;
    case TERN_OP_SILU:
        return a / (1.0f + expf(-a));
    case TERN_OP_SIGMOID:
        return 1.0f / (1.0f + expf(-a));
    case TERN_OP_LOG1P:
        return log1pf(a);
    default:
        return tanh_of(a);
    }
}

#endif
