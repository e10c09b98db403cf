/* cublaslt.cpp - as much of cuBLASLt as the device calls, by a plain kernel: products in order, summed in float32. There are two
 * algorithms, which do the same and of which the test says which is faster. cublaslt.cu is the same for a GPU.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cstring>
#include <cublasLt.h>

#include "host.h"

#include "device/cuda/narrow.cuh"

namespace {

constexpr unsigned N_THREADS = 128;

struct operation {
    cublasComputeType_t compute;
    cublasLtEpilogue_t epilogue;
    int transposes_a;
    const void *bias;
    const float *a_scales, *b_scales; /* of each row of y, of each column; null: none */
};
struct matrix {
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t ld;
};
/* d = a transposed times b, plus beta c, and what the operation says. */
struct product {
    operation o;
    matrix ma, mb, mc, md;
    const void *a, *b, *c;
    void *d;
    float beta;
};

__device__ float at(const matrix &m, const void *data, uint64_t row, uint64_t column) {
    const size_t i = row + column * (size_t)m.ld;
    return m.type == CUDA_R_32F       ? ((const float *)data)[i]
           : m.type == CUDA_R_8F_E4M3 ? narrow<e4m3>::pair(((const uint8_t *)data)[i]).x
           : m.type == CUDA_R_8I      ? ((const int8_t *)data)[i]
           : m.type == CUDA_R_16F     ? to_float(((const f16 *)data)[i])
                                      : to_float(((const bf16 *)data)[i]);
}
__device__ void put(const matrix &m, void *data, uint64_t row, uint64_t column, float value) {
    const size_t i = row + column * (size_t)m.ld;
    if (m.type == CUDA_R_32F) ((float *)data)[i] = value;
    else if (m.type == CUDA_R_32I) ((int32_t *)data)[i] = (int32_t)value;
    else if (m.type == CUDA_R_16F) ((f16 *)data)[i] = from_float<f16>(value);
    else ((bf16 *)data)[i] = from_float<bf16>(value);
}

__device__ bool has(const operation &o, cublasLtEpilogue_t epilogue) { return (o.epilogue & epilogue) == epilogue; }

__device__ float finish(const operation &o, float value) {
    if (has(o, CUBLASLT_EPILOGUE_GELU)) return 0.5f * value * (1 + tanhf(0.7978845608f * (value + 0.044715f * value * value * value)));
    return has(o, CUBLASLT_EPILOGUE_RELU) && value < 0 ? 0 : value;
}

/* A block does a column of d, whatever its size. */
__global__ void multiply(product p) {
    begin();
    const uint64_t column = blockIdx.x;
    for (uint64_t row = threadIdx.x; row < p.md.rows; row += blockDim.x) {
        float sum = 0;
        for (uint64_t k = 0; k < p.ma.rows; k++) sum += at(p.ma, p.a, k, row) * at(p.mb, p.b, k, column);
        if (p.o.a_scales != nullptr) sum *= p.o.a_scales[row] * p.o.b_scales[column];
        if (p.beta != 0) sum += p.beta * at(p.mc, p.c, row, column);
        if (has(p.o, CUBLASLT_EPILOGUE_BIAS)) sum += at(matrix{p.md.type, p.md.rows, 1, (int64_t)p.md.rows}, p.o.bias, row, 0);
        put(p.md, p.d, row, column, finish(p.o, sum));
    }
}

/* What stands in an algorithm's words: its number, its scratch memory, its reduction scheme; the others are 0. */
enum { NUMBER, WORKSPACE, REDUCTION, N_USED };

} // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    *handle = (cublasLtHandle_t) new int(0);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete (int *)handle;
    return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion(void) { return tern_cuda_host()->cublaslt; }
const char *cublasLtGetStatusString(cublasStatus_t) { return "a status of the tests' cuBLASLt"; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute, cudaDataType_t) {
    *out = (cublasLtMatmulDesc_t) new operation{compute, CUBLASLT_EPILOGUE_DEFAULT, CUBLAS_OP_N, nullptr, nullptr, nullptr};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    delete (operation *)desc;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const void *value,
                                              size_t bytes) {
    operation *o = (operation *)desc;
    if (attribute == CUBLASLT_MATMUL_DESC_TRANSA) memcpy(&o->transposes_a, value, bytes);
    else if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE) memcpy(&o->epilogue, value, bytes);
    else if (attribute == CUBLASLT_MATMUL_DESC_A_SCALE_POINTER) memcpy(&o->a_scales, value, bytes);
    else if (attribute == CUBLASLT_MATMUL_DESC_B_SCALE_POINTER) memcpy(&o->b_scales, value, bytes);
    else if (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER) memcpy(&o->bias, value, bytes);
    else if (attribute != CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE && attribute != CUBLASLT_MATMUL_DESC_A_SCALE_MODE &&
             attribute != CUBLASLT_MATMUL_DESC_B_SCALE_MODE && attribute != CUBLASLT_MATMUL_DESC_FAST_ACCUM)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows, uint64_t columns, int64_t ld) {
    *out = (cublasLtMatrixLayout_t) new matrix{type, rows, columns, ld};
    return (uint64_t)ld >= rows ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete (matrix *)layout;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) {
    *out = (cublasLtMatmulPreference_t) new int(0);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete (int *)preference;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, const void *,
                                                    size_t) {
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int capacity,
                                              cublasLtMatmulHeuristicResult_t *results, int *n) {
    host_state *host = tern_cuda_host();
    host_note_choice();
    host->n_suggestions++;
    *n = capacity < 2 ? capacity : 2;
    for (int i = 0; i < *n; i++) {
        results[i] = cublasLtMatmulHeuristicResult_t{};
        results[i].algo.data[NUMBER] = (uint64_t)i;
        results[i].algo.data[WORKSPACE] = host->workspace;
        results[i].algo.data[REDUCTION] = host->reduction;
    }
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t *algorithm,
                                       cublasLtMatmulHeuristicResult_t *result) {
    for (size_t i = N_USED; i < sizeof algorithm->data / sizeof *algorithm->data; i++)
        if (algorithm->data[i] != 0) return CUBLAS_STATUS_INVALID_VALUE;
    result->workspaceSize = algorithm->data[WORKSPACE];
    return algorithm->data[NUMBER] < 2 && !tern_cuda_host()->refuses ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void *value, size_t bytes, size_t *) {
    const uint32_t reduction = (uint32_t)algorithm->data[REDUCTION];
    if (attribute != CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME || bytes != sizeof reduction) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(value, &reduction, sizeof reduction);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *, const void *a, cublasLtMatrixLayout_t a_layout,
                              const void *b, cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *, size_t, cudaStream_t stream) {
    const operation *o = (const operation *)desc;
    const matrix *ma = (const matrix *)a_layout, *mb = (const matrix *)b_layout, *mc = (const matrix *)c_layout,
                 *md = (const matrix *)d_layout;
    const product p = {*o, *ma, *mb, *mc, *md, a, b, c, d, *(const float *)beta};
    if (o->transposes_a != CUBLAS_OP_T || ma->rows != mb->rows || ma->columns != md->rows || mb->columns != md->columns)
        return CUBLAS_STATUS_INVALID_VALUE;
    host_state *host = tern_cuda_host();
    if (algorithm->data[NUMBER] > 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (host->n_failing > 0) {
        host->n_failing--;
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    host->n_products[algorithm->data[NUMBER]]++;
    if ((int)algorithm->data[NUMBER] != host->fastest) host->lag_ms += 1000;
    const cudaError_t error = launch_kernel(stream, multiply, dim3((unsigned)md->columns), dim3(N_THREADS), 0, p);
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
}
