/* compile.c - a program for the CPU: weights are checked and packed, nodes grouped into phases, memory planned.
 *
 * A linear weight [out, in] becomes panels of nr outputs, k-major, which is the order in which the GEMM reads it; all threads pack.
 * Norm weights are widened to float32; embedding tables stay where they are.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "base/file.h"
#include "base/half.h"
#include "device/cpu/cpu.h"

#define LARGE_PAGE ((size_t)2 << 20)

void *tern__cpu_alloc(size_t bytes) {
    if (bytes < 2 * LARGE_PAGE || bytes > SIZE_MAX - LARGE_PAGE) return tern__alloc_aligned(bytes);
    bytes = tern__align_up(bytes, LARGE_PAGE);
    void *block = aligned_alloc(LARGE_PAGE, bytes);
#if defined(__linux__)
    if (block != NULL) madvise(block, bytes, MADV_HUGEPAGE); /* advice: without large pages it is only slower */
#endif
    return block;
}

static bool is_linear(tern_op op) {
    return op == TERN_OP_LINEAR || op == TERN_OP_LINEAR_CONCAT || op == TERN_OP_LINEAR_ACTIVATION || op == TERN_OP_LINEAR_ADD;
}

static bool is_attention(tern_op op) { return op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION || op == TERN_OP_DISENTANGLED_ATTENTION; }

static bool is_norm(tern_op op) { return op == TERN_OP_LAYER_NORM || op == TERN_OP_ADD_LAYER_NORM; }

static bool has_bias_table(const tern_node *node) {
    return node->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION && node->attention.n_buckets > 0;
}

static bool has_table(const tern_node *node) { return is_norm(node->op) || node->op == TERN_OP_ROPE || has_bias_table(node); }

/* ---- What is refused ---- */

static tern_status check_weight(const tern_weight *weight, tern_error *err) {
    if (weight->data == NULL) return TERN_FAIL(err, TERN_E_WEIGHTS, "cpu: the weight %s is not bound", weight->name);
    switch (weight->dtype) {
    case TERN_DTYPE_F64:
    case TERN_DTYPE_F32:
    case TERN_DTYPE_F16:
    case TERN_DTYPE_BF16:
        return TERN_OK;
    default:
        return TERN_FAIL(err, TERN_E_DTYPE, "cpu: the weight %s is %s", weight->name, tern_dtype_name(weight->dtype));
    }
}

static tern_status check_node(const tern_program *program, const tern_node *node, tern_error *err) {
    if ((unsigned)node->op >= TERN_N_OPS) return TERN_FAIL(err, TERN_E_UNSUPPORTED, "cpu: op %d is unknown", (int)node->op);
    for (int32_t w = 0; w < node->n_weights; w++)
        if (node->weights[w] != TERN_NO_WEIGHT) TERN_TRY(check_weight(&program->weights[node->weights[w]], err));
    if (node->op != TERN_OP_POOL && node->op != TERN_OP_TAKE && node->op != TERN_OP_UNFOLD && !is_attention(node->op)) return TERN_OK;
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (tern__value(program, node->inputs[i])->space != TERN_SPACE_TOKENS)
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "cpu: %s of rows that are not tokens", tern__op_name(node->op));
    return TERN_OK;
}

static tern_status check_program(const tern_program *program, const char *dtype, tern_error *err) {
    if (strcmp(dtype, "float32") != 0)
        return TERN_FAIL(err, TERN_E_DTYPE, "dtype \"%.40s\": the CPU device of this version computes in float32", dtype);
    for (int32_t n = 0; n < program->n_nodes; n++) TERN_TRY(check_node(program, &program->nodes[n], err));
    for (int32_t o = 0; o < program->n_outputs; o++)
        if (tern__value(program, program->outputs[o].value)->is_integer)
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "cpu: the output %s is of integers", program->outputs[o].name);
    return TERN_OK;
}

/* ---- Phases ---- */

/* May nodes a and b, a before b, work on different rows at the same time? Not when b writes memory that a touches with other rows, which
 * are elsewhere when the stride is another. */
static bool rows_stay_apart(const tern_cpu_compiled *c, const tern_node *a, const tern_node *b) {
    const tern_placement *written = &c->plan.placements[b->output.index];
    if (written->slot < 0) return true;
    for (int32_t i = -1; i < a->n_inputs; i++) {
        const tern_value value = i < 0 ? a->output : a->inputs[i];
        const tern_placement *touched = &c->plan.placements[value.index];
        if (touched->slot == written->slot && (touched->row_stride != written->row_stride ||
                                               tern__value(c->program, value)->space != tern__value(c->program, b->output)->space))
            return false;
    }
    return true;
}

static tern_cpu_phase_kind kind_of(tern_op op) {
    return is_linear(op) ? TERN_CPU_GEMM : is_attention(op) ? TERN_CPU_ATTENTION : TERN_CPU_ROWS;
}

static bool joins(const tern_cpu_compiled *c, const tern_cpu_phase *phase, const tern_node *node) {
    if (phase->kind != TERN_CPU_ROWS || kind_of(node->op) != TERN_CPU_ROWS) return false;
    if (node->op == TERN_OP_UNFOLD || c->program->nodes[phase->first].op == TERN_OP_UNFOLD)
        return false; /* it reads its neighbours' rows */
    if (phase->space != tern__value(c->program, node->output)->space) return false;
    for (int32_t n = phase->first; n < phase->end; n++)
        if (!rows_stay_apart(c, &c->program->nodes[n], node)) return false;
    return true;
}

static void make_phases(tern_cpu_compiled *c) {
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        const tern_node *node = &c->program->nodes[n];
        if (c->n_phases > 0 && joins(c, &c->phases[c->n_phases - 1], node)) c->phases[c->n_phases - 1].end = n + 1;
        else
            c->phases[c->n_phases++] = (tern_cpu_phase){
                .kind = kind_of(node->op), .space = tern__value(c->program, node->output)->space, .first = n, .end = n + 1};
    }
}

/* ---- Packing ---- */

static size_t width_of(const tern_program *program, tern_value value) { return (size_t)tern__value(program, value)->width; }

/* To a multiple of a cache line. */
static bool pad_floats(size_t *floats) {
    if (*floats > SIZE_MAX - 16) return false;
    *floats = tern__align_up(*floats, 16);
    return true;
}

/* Floats that a node's weights take, each part a multiple of a cache line; false when the size overflows. */
static bool packed_floats(const tern_cpu_compiled *c, const tern_node *node, size_t *panels, size_t *floats) {
    const size_t nr = c->device->kernels.nr, width = width_of(c->program, node->output);
    *panels = *floats = 0;
    if (is_norm(node->op)) *floats = 2 * tern__align_up(width, 16);
    if (has_bias_table(node))
        *floats = tern__align_up((size_t)node->attention.n_heads * (2 * (size_t)node->attention.max_distance + 1), 16);
    if (node->op == TERN_OP_ROPE)
        return tern__size_multiply((size_t)node->rope.max_positions, (size_t)node->rope.head_dim, floats) && pad_floats(floats);
    if (!is_linear(node->op)) return true;
    *panels = (width + nr - 1) / nr;
    size_t bias;
    return tern__size_multiply(*panels * nr, width_of(c->program, node->inputs[0]), floats) && tern__size_multiply(*panels, nr, &bias) &&
           tern__size_add(*floats, tern__align_up(bias, 16), floats);
}

static bool is_same_rope(const tern_node *a, const tern_node *b) {
    return a->op == TERN_OP_ROPE && b->op == TERN_OP_ROPE && a->rope.head_dim == b->rope.head_dim && a->rope.theta == b->rope.theta &&
           a->rope.max_positions == b->rope.max_positions;
}

/* The first node that packs the same weights in the same way: n itself unless layers share weights. */
static int32_t find_packed(const tern_program *program, int32_t n) {
    const tern_node *node = &program->nodes[n];
    if (node->op == TERN_OP_DISENTANGLED_ATTENTION || node->op == TERN_OP_SCALE) return n;
    for (int32_t m = 0; m < n && (node->n_weights > 0 || node->op == TERN_OP_ROPE); m++) {
        const tern_node *other = &program->nodes[m];
        if (is_same_rope(node, other)) return m;
        if (node->op == TERN_OP_ROPE) continue;
        if (other->n_weights == node->n_weights && other->weights[0] == node->weights[0] && is_linear(other->op) == is_linear(node->op) &&
            memcmp(other->weights, node->weights, (size_t)node->n_weights * sizeof *node->weights) == 0)
            return m;
    }
    return n;
}

/* Place every node's part; the block is allocated when `packed` is to be set. */
static bool place_weights(tern_cpu_compiled *c, size_t *total) {
    *total = 0;
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        const tern_node *node = &c->program->nodes[n];
        tern_cpu_step *step = &c->steps[n];
        const int32_t packed = find_packed(c->program, n);
        if (packed != n) {
            *step = c->steps[packed];
            step->is_shared = true;
            continue;
        }
        if (node->op == TERN_OP_SCALE) step->factor = tern__scale_factor(c->program, node);
        size_t floats;
        if (!packed_floats(c, node, &step->n_panels, &floats)) return false;
        if (c->packed != NULL && is_linear(node->op)) {
            step->panels = c->packed + *total;
            step->bias = step->panels + step->n_panels * c->device->kernels.nr * width_of(c->program, node->inputs[0]);
        } else if (c->packed != NULL && has_table(node)) {
            step->weight = c->packed + *total;
            if (is_norm(node->op)) step->bias = step->weight + tern__align_up(width_of(c->program, node->output), 16);
            if (has_bias_table(node)) step->reach = node->attention.max_distance;
        }
        if (!tern__size_add(*total, floats, total)) return false;
    }
    size_t bytes;
    return tern__size_multiply(*total, sizeof(float), &bytes);
}

/* Where row `row` of a linear node's weight is: in linear_concat the parts stand one below the other. */
typedef struct weight_row {
    const tern_weight *weight, *bias; /* weight NULL: below the last part; bias NULL: none */
    size_t row;
} weight_row;

static weight_row find_weight_row(const tern_program *program, const tern_node *node, size_t row) {
    const int32_t n_parts = node->op == TERN_OP_LINEAR_CONCAT ? node->n_weights / 2 : 1;
    for (int32_t p = 0; p < n_parts; p++) {
        const tern_weight *weight = &program->weights[node->weights[2 * p]];
        const int32_t bias = 2 * p + 1 < node->n_weights ? node->weights[2 * p + 1] : TERN_NO_WEIGHT;
        if (row < (size_t)weight->shape[0]) return (weight_row){weight, bias != TERN_NO_WEIGHT ? &program->weights[bias] : NULL, row};
        row -= (size_t)weight->shape[0];
    }
    return (weight_row){NULL, NULL, 0};
}

#define PACK_COLUMNS 64 /* of the weight at a time, so that the strip that is turned stays in the L1 cache */
#define MAX_NR       64

void tern__cpu_pack_panel(const tern_program *program, const tern_node *node, size_t k, size_t nr, size_t panel, float *to, float *bias) {
    float strip[MAX_NR][PACK_COLUMNS];
    weight_row rows[MAX_NR];
    for (size_t r = 0; r < nr; r++) {
        rows[r] = find_weight_row(program, node, panel * nr + r);
        bias[r] = rows[r].bias != NULL ? tern__element_to_f32(rows[r].bias->data, rows[r].bias->dtype, rows[r].row) : 0.0f;
    }
    for (size_t column = 0; column < k; column += PACK_COLUMNS) {
        const size_t n_columns = k - column < PACK_COLUMNS ? k - column : PACK_COLUMNS;
        for (size_t r = 0; r < nr; r++) {
            if (rows[r].weight != NULL)
                tern__elements_to_f32(strip[r], rows[r].weight->data, rows[r].weight->dtype, rows[r].row * k + column, n_columns);
            else memset(strip[r], 0, n_columns * sizeof(float));
        }
        for (size_t j = 0; j < n_columns; j++, to += nr)
            for (size_t r = 0; r < nr; r++) to[r] = strip[r][j];
    }
}

static void pack_panel(const tern_cpu_compiled *c, int32_t n, size_t panel) {
    const tern_node *node = &c->program->nodes[n];
    const size_t nr = c->device->kernels.nr, k = width_of(c->program, node->inputs[0]);
    tern__cpu_pack_panel(c->program, node, k, nr, panel, (float *)c->steps[n].panels + panel * k * nr,
                         (float *)c->steps[n].bias + panel * nr);
}

static void pack_norm(const tern_cpu_compiled *c, int32_t n) {
    const tern_node *node = &c->program->nodes[n];
    const size_t width = width_of(c->program, node->output);
    const tern_weight *weight = &c->program->weights[node->weights[0]];
    const int32_t b = node->n_weights > 1 ? node->weights[1] : TERN_NO_WEIGHT;
    tern__elements_to_f32((float *)c->steps[n].weight, weight->data, weight->dtype, 0, width);
    if (b == TERN_NO_WEIGHT) memset((float *)c->steps[n].bias, 0, width * sizeof(float));
    else tern__elements_to_f32((float *)c->steps[n].bias, c->program->weights[b].data, c->program->weights[b].dtype, 0, width);
}

static void pack_relative_bias(const tern_cpu_compiled *c, int32_t n) {
    const tern_node *node = &c->program->nodes[n];
    const tern_weight *weight = &c->program->weights[node->weights[0]];
    const int32_t reach = c->steps[n].reach, n_heads = node->attention.n_heads;
    float *to = (float *)c->steps[n].weight;
    for (int32_t head = 0; head < n_heads; head++)
        for (int32_t distance = -reach; distance <= reach; distance++) {
            const int32_t bucket = tern__relative_bucket(distance, node->attention.n_buckets, node->attention.max_distance);
            *to++ = tern__element_to_f32(weight->data, weight->dtype, (size_t)bucket * (size_t)n_heads + (size_t)head);
        }
}

static void pack_angles(const tern_cpu_compiled *c, int32_t n, size_t first, size_t end) {
    const tern_node *node = &c->program->nodes[n];
    const int32_t half = node->rope.head_dim / 2;
    float *table = (float *)c->steps[n].weight;
    for (int32_t i = 0; i < half; i++) {
        const float frequency = tern__rope_frequency(node->rope.theta, i, node->rope.head_dim);
        for (size_t position = first; position < end; position++) {
            const float angle = (float)position * frequency;
            table[position * (size_t)node->rope.head_dim + (size_t)i] = cosf(angle);
            table[position * (size_t)node->rope.head_dim + (size_t)(half + i)] = sinf(angle);
        }
    }
}

#define PACK_POSITIONS 512 /* of a table of angles at a time */

/* One turn a table, or a part of one. */
static void pack_tables(const tern_cpu_compiled *c, int32_t n, size_t thread, size_t n_threads, size_t *turn) {
    const tern_node *node = &c->program->nodes[n];
    const size_t n_positions = node->op == TERN_OP_ROPE ? (size_t)node->rope.max_positions : 1;
    for (size_t first = 0; first < n_positions; first += PACK_POSITIONS) {
        if ((*turn)++ % n_threads != thread) continue;
        if (node->op == TERN_OP_ROPE) pack_angles(c, n, first, n_positions - first < PACK_POSITIONS ? n_positions : first + PACK_POSITIONS);
        else if (has_bias_table(node)) pack_relative_bias(c, n);
        else pack_norm(c, n);
    }
}

/* An earlier node may own the weights that a needed one shares. */
static bool is_to_pack(const tern_cpu_compiled *c, int32_t n) {
    if (c->steps[n].is_shared || c->steps[n].is_packed) return false;
    for (int32_t m = n; m < c->program->n_nodes; m++)
        if (c->needed[m] && (m == n || (c->steps[m].is_shared && find_packed(c->program, m) == n))) return true;
    return false;
}

/* Nodes first ... end - 1. */
typedef struct pack_range {
    const tern_cpu_compiled *c;
    int32_t first, end;
} pack_range;

/* Each thread packs every n_threads-th panel. */
static void pack_share(void *argument, int thread) {
    const pack_range *range = argument;
    const tern_cpu_compiled *c = range->c;
    const size_t n_threads = (size_t)tern__thread_pool_size(c->device->pool);
    size_t turn = 0;
    for (int32_t n = range->first; n < range->end; n++) {
        if (!is_to_pack(c, n)) continue;
        for (size_t p = 0; p < c->steps[n].n_panels; p++)
            if (turn++ % n_threads == (size_t)thread) pack_panel(c, n, p);
        if (has_table(&c->program->nodes[n])) pack_tables(c, n, (size_t)thread, n_threads, &turn);
    }
}

static tern_status place_packed(tern_cpu_compiled *c, tern_error *err) {
    size_t total;
    if (!place_weights(c, &total)) return TERN_FAIL(err, TERN_E_MEMORY, "cpu: the packed weights are larger than any memory");
    c->packed = tern__cpu_alloc(total * sizeof *c->packed);
    if (c->packed == NULL) return TERN_FAIL_MEMORY(err, total * sizeof *c->packed);
    place_weights(c, &total);
    return TERN_OK;
}

void tern__cpu_forget_weights(const tern_program *program, const tern_node *node) {
    for (int32_t w = 0; w < node->n_weights; w++) {
        const tern_weight *weight = node->weights[w] != TERN_NO_WEIGHT ? &program->weights[node->weights[w]] : NULL;
        if (weight == NULL || !weight->is_mapped) continue;
        const size_t elements = (size_t)weight->shape[0] * (weight->rank == 2 ? (size_t)weight->shape[1] : 1);
        tern__file_forget(weight->data, elements * tern_dtype_bytes(weight->dtype));
    }
}

/* What has been packed is not read from the file again. */
static void pack_nodes(tern_cpu_compiled *c, int32_t first, int32_t end) {
    tern__thread_pool_run(c->device->pool, pack_share, &(pack_range){c, first, end});
    for (int32_t n = first; n < end; n++) {
        if (!is_to_pack(c, n)) continue;
        c->steps[n].is_packed = true;
        tern__cpu_forget_weights(c->program, &c->program->nodes[n]);
    }
}

#define PACK_BYTES ((size_t)16 << 20) /* of packed weights at a time, so that not all of the file is in memory beside them */

void tern__cpu_pack_needed(tern_cpu_compiled *c) {
    size_t bytes = 0;
    int32_t first = 0;
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        size_t n_panels, floats = 0;
        if (is_to_pack(c, n)) packed_floats(c, &c->program->nodes[n], &n_panels, &floats);
        bytes += floats * sizeof(float);
        if (bytes == 0 || (bytes < PACK_BYTES && n + 1 < c->program->n_nodes)) continue;
        pack_nodes(c, first, n + 1);
        first = n + 1;
        bytes = 0;
    }
}

/* What the encoder needs, so that only a head is packed later, in the first run that asks for it. */
static void pack_encoder(tern_cpu_compiled *c) {
    const int32_t encoder = tern__program_find_output(c->program, "last_hidden_state");
    memset(c->needed, 1, (size_t)c->program->n_nodes);
    if (encoder >= 0) tern__program_mark_needed(c->program, &encoder, 1, c->needed);
    tern__cpu_pack_needed(c);
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        size_t n_panels, floats;
        if (c->steps[n].is_packed && packed_floats(c, &c->program->nodes[n], &n_panels, &floats)) c->packed_bytes += floats * sizeof(float);
    }
}

/* Nodes that a run has no weights to pack for: the encoder, and what is made from it without weights. */
static void mark_packed(const tern_cpu_compiled *c, uint8_t *needed) {
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        const tern_node *node = &c->program->nodes[n];
        const int32_t packed = find_packed(c->program, n);
        needed[n] = (!is_linear(node->op) && !has_table(node)) || c->steps[packed].is_packed;
        for (int32_t i = 0; i < node->n_inputs; i++)
            if (!needed[tern__value(c->program, node->inputs[i])->producer]) needed[n] = 0;
    }
}

static tern_status plan_runs(tern_cpu_compiled *c, tern_error *err) {
    c->run_plan = c->encoder_plan = c->plan;
    const size_t n_slots = (size_t)c->plan.n_slots;
    c->run_plan.slot_strides = tern__alloc_zero(n_slots, sizeof *c->plan.slot_strides);
    c->encoder_plan.slot_strides = tern__alloc_zero(n_slots, sizeof *c->plan.slot_strides);
    if (c->run_plan.slot_strides == NULL || c->encoder_plan.slot_strides == NULL)
        return TERN_FAIL_MEMORY(err, n_slots * sizeof *c->plan.slot_strides);
    mark_packed(c, c->needed);
    tern__plan_needed_strides(&c->plan, c->program, c->needed, c->encoder_plan.slot_strides);
    return TERN_OK;
}

/* ---- The whole ---- */

static tern_status compile_into(tern_cpu_compiled *c, const char *dtype, tern_error *err) {
    TERN_TRY(check_program(c->program, dtype, err));
    TERN_TRY(tern__plan_make(&c->plan, c->program, err));
    const size_t n_nodes = (size_t)c->program->n_nodes;
    c->steps = tern__alloc_zero(n_nodes, sizeof *c->steps);
    c->phases = tern__alloc_zero(n_nodes, sizeof *c->phases);
    c->phase_end_ns = tern__alloc_zero(n_nodes + 1, sizeof *c->phase_end_ns);
    c->needed = tern__alloc_zero(n_nodes, sizeof *c->needed);
    c->wanted = tern__alloc_zero((size_t)c->program->n_outputs, sizeof *c->wanted);
    c->slot_offsets = tern__alloc_zero((size_t)c->plan.n_slots, sizeof *c->slot_offsets);
    if (c->steps == NULL || c->phases == NULL || c->phase_end_ns == NULL || c->needed == NULL || c->wanted == NULL ||
        c->slot_offsets == NULL)
        return TERN_FAIL_MEMORY(err, n_nodes * (sizeof *c->steps + sizeof *c->phases));
    make_phases(c);
    TERN_TRY(place_packed(c, err));
    pack_encoder(c);
    TERN_TRY(plan_runs(c, err));
    return tern__cpu_fold(c, err);
}

tern_status tern__cpu_compile(void **compiled, void *device, const tern_program *program, const char *dtype, tern_error *err) {
    *compiled = NULL;
    tern_cpu_compiled *c = tern__alloc_zero(1, sizeof *c);
    if (c == NULL) return TERN_FAIL_MEMORY(err, sizeof *c);
    c->device = device;
    c->program = program;
    const tern_status status = compile_into(c, dtype, err);
    if (status == TERN_OK) *compiled = c;
    else tern__cpu_release(c);
    return status;
}

void tern__cpu_release(void *compiled) {
    tern_cpu_compiled *c = compiled;
    if (c == NULL) return;
    if (c->run_plan.placements != NULL) {
        free(c->run_plan.slot_strides);
        free(c->encoder_plan.slot_strides);
    }
    tern__plan_free(&c->plan);
    tern__cpu_unfold(c);
    free(c->steps);
    free(c->phases);
    free(c->phase_end_ns);
    free(c->packed);
    free(c->needed);
    free(c->wanted);
    free(c->slot_offsets);
    free(c->workspace);
    free(c);
}
