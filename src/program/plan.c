/* plan.c - which values share memory: one pass over the nodes in order, a slot is free again when its tenant was last read.
 * Also which nodes a set of outputs needs. The plan is made once; a batch only multiplies its slots by row counts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "program/program.h"

#include <stdlib.h>
#include <string.h>

/* Rows a multiple of 1 KB apart fall into few sets of an L1 cache, and a GEMM reads a dozen rows at once: one line more spreads them. */
static int32_t row_stride(int32_t width) {
    const int32_t stride = (width + 15) / 16 * 16;
    return stride % 256 == 0 ? stride + 16 : stride;
}

/* The value whose memory `value` lives in: itself, or the source of a chain of slices; *column grows by the starts on the way. */
static int32_t owner_of(const tern_program *program, int32_t value, int32_t *column) {
    const tern_node *node = &program->nodes[program->values[value].producer];
    while (node->op == TERN_OP_SLICE) {
        *column += node->slice.start;
        value = node->inputs[0].index;
        node = &program->nodes[program->values[value].producer];
    }
    return value;
}

/* last_read[owner] = index of the last node that reads it or a view of it; its producer when nobody does. Outputs are read by their
 * producer (the device copies them then), so they need nothing of their own. */
static void find_last_reads(const tern_program *program, int32_t *last_read) {
    for (int32_t n = 0; n < program->n_nodes; n++) {
        const tern_node *node = &program->nodes[n];
        int32_t column = 0;
        last_read[owner_of(program, node->output.index, &column)] = n;
        for (int32_t i = 0; i < node->n_inputs; i++) last_read[owner_of(program, node->inputs[i].index, &column)] = n;
    }
}

/* Among free slots the one that grows least for a row of `stride` floats; n_slots when none is free. */
static int32_t choose_slot(const tern_plan *plan, const int32_t *tenants, tern_space space, int32_t stride) {
    int32_t best = plan->n_slots, best_growth = INT32_MAX;
    for (int32_t s = 0; s < plan->n_slots; s++) {
        if (tenants[s] != 0) continue;
        const int32_t present = plan->slot_strides[s][space];
        const int32_t growth = present >= stride ? (present - stride) / 64 : stride - present;
        if (growth < best_growth) best = s, best_growth = growth;
    }
    return best;
}

/* Give slots to all values that own memory, in order of production. */
static void assign_slots(tern_plan *plan, const tern_program *program, const int32_t *last_read, int32_t *tenants) {
    for (int32_t n = 0; n < program->n_nodes; n++) {
        const tern_node *node = &program->nodes[n];
        const tern_value_info *info = tern__value(program, node->output);
        if (!info->is_integer && node->op != TERN_OP_SLICE) {
            const int32_t stride = row_stride(info->width);
            const int32_t slot = choose_slot(plan, tenants, info->space, stride);
            if (slot == plan->n_slots) plan->n_slots++;
            if (plan->slot_strides[slot][info->space] < stride) plan->slot_strides[slot][info->space] = stride;
            tenants[slot] = node->output.index;
            plan->placements[node->output.index] = (tern_placement){.slot = slot, .row_stride = stride};
        }
        for (int32_t s = 0; s < plan->n_slots; s++)
            if (tenants[s] != 0 && last_read[tenants[s]] <= n) tenants[s] = 0;
    }
}

tern_status tern__plan_make(tern_plan *out, const tern_program *program, tern_error *err) {
    const size_t n_values = (size_t)program->n_values;
    *out = (tern_plan){.placements = tern__alloc_zero(n_values, sizeof *out->placements),
                       .slot_strides = tern__alloc_zero(n_values, sizeof *out->slot_strides)};
    int32_t *last_read = tern__alloc_zero(n_values, sizeof *last_read);
    int32_t *tenants = tern__alloc_zero(n_values, sizeof *tenants); /* [slot]: value that lives there, 0: free */
    const bool ok = out->placements != NULL && out->slot_strides != NULL && last_read != NULL && tenants != NULL;
    if (ok) {
        for (size_t v = 0; v < n_values; v++) out->placements[v].slot = -1;
        find_last_reads(program, last_read);
        assign_slots(out, program, last_read, tenants);
        for (int32_t v = 1; v < program->n_values; v++) {
            int32_t column = 0;
            const int32_t owner = owner_of(program, v, &column);
            if (owner == v) continue;
            out->placements[v] = out->placements[owner];
            out->placements[v].column = column;
        }
    }
    free(last_read);
    free(tenants);
    if (ok) return TERN_OK;
    tern__plan_free(out);
    return TERN_FAIL(err, TERN_E_MEMORY, "out of memory while planning a program of %d values", program->n_values);
}

void tern__plan_free(tern_plan *plan) {
    free(plan->placements);
    free(plan->slot_strides);
    *plan = (tern_plan){0};
}

bool tern__plan_slot_bytes(const tern_plan *plan, int32_t slot, const tern_rows *rows, size_t *bytes) {
    *bytes = 0;
    for (int space = 0; space < TERN_N_SPACES; space++) {
        size_t needed;
        if (!tern__size_multiply((size_t)rows->rows[space], (size_t)plan->slot_strides[slot][space] * sizeof(float), &needed) ||
            needed > SIZE_MAX - TERN_ALIGNMENT)
            return false;
        if (needed > *bytes) *bytes = needed;
    }
    *bytes = tern__align_up(*bytes, TERN_ALIGNMENT);
    return true;
}

bool tern__plan_bytes(const tern_plan *plan, const tern_rows *rows, size_t *bytes) {
    *bytes = 0;
    for (int32_t s = 0; s < plan->n_slots; s++) {
        size_t slot_bytes;
        if (!tern__plan_slot_bytes(plan, s, rows, &slot_bytes) || !tern__size_add(*bytes, slot_bytes, bytes)) return false;
    }
    return true;
}

void tern__plan_needed_strides(const tern_plan *plan, const tern_program *program, const uint8_t *needed,
                               int32_t (*strides)[TERN_N_SPACES]) {
    memset(strides, 0, (size_t)plan->n_slots * sizeof *strides);
    for (int32_t n = 0; n < program->n_nodes; n++) {
        const tern_value output = program->nodes[n].output;
        const tern_placement *place = &plan->placements[output.index];
        if (!needed[n] || place->slot < 0) continue;
        int32_t *stride = &strides[place->slot][tern__value(program, output)->space];
        if (*stride < place->row_stride) *stride = place->row_stride;
    }
}

void tern__program_mark_needed(const tern_program *program, const int32_t *outputs, size_t n_outputs, uint8_t *needed) {
    memset(needed, 0, (size_t)program->n_nodes);
    for (size_t i = 0; i < n_outputs; i++) needed[tern__value(program, program->outputs[outputs[i]].value)->producer] = 1;
    for (int32_t n = program->n_nodes - 1; n >= 0; n--) {
        if (!needed[n]) continue;
        const tern_node *node = &program->nodes[n];
        for (int32_t i = 0; i < node->n_inputs; i++) needed[tern__value(program, node->inputs[i])->producer] = 1;
    }
}
