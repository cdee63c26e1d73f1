/*
 * Whether a store is what the model says.
 */
#ifndef SSTFS_TESTS_MODEL_EXPECT_H
#define SSTFS_TESTS_MODEL_EXPECT_H

#include "support/engine_model.h"

/** Fails the test unless the store is what the first `count` batches of the history make. */
void model_expect(struct source *source, uint64_t seed, size_t payload_max, uint64_t count);

#endif
