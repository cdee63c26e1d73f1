#include "support/model_expect.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/error.h"

void model_expect(struct source *source, uint64_t seed, size_t payload_max, uint64_t count)
{
    AUTO(buf_release) struct buf expected = BUF_INIT, found = BUF_INIT;
    struct model model = {0};
    int r;

    for (uint64_t number = 1; number <= count; number++)
        model_batch(seed, number, payload_max, NULL, &model);
    model_print(&model, TABLES_ALL, &expected);
    r = model_print_store(source, seed, payload_max, TABLES_ALL, &found);
    if (r < 0)
        fail_msg("SSTFS_SEED=%" PRIu64 ": %d: %s", seed, r, err_text(r));
    if (!bytes_equal(buf_bytes(&expected), buf_bytes(&found)))
        fail_msg("SSTFS_SEED=%" PRIu64 "\nexpected:\n%.*s\nfound:\n%.*s", seed, (int)expected.size,
            (char *)expected.data, (int)found.size, (char *)found.data);
}
