/*
 * Goal: what the device gives is either all in libfuse's buffer, or a WRITE's payload is in
 * buffers, byte for byte, wherever header, payload and pieces end. Method: a file that holds one
 * request stands for the device.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "fuse/scatter.h"
#include "support/fs_world.h"
#include "support/random.h"

#define HEADER_BYTES sizeof(struct fuse_in_header)
#define HEAD_BYTES (HEADER_BYTES + sizeof(struct fuse_write_in))
#define LIBFUSE_BYTES (FS_WRITE_BYTES_MAX + 4096)

struct device {
    struct world *world;
    struct scatter scatter;
    int fd;
    uint8_t *sent;     /* the request */
    uint8_t *received; /* libfuse's buffer */
};

static int setup(void **state)
{
    struct device *device = calloc(1, sizeof(*device));
    void *world;

    assert_non_null(device);
    if (world_setup(&world) != 0)
        return -1;
    device->world = world;
    device->scatter.fs = device->world->fs;
    device->fd = memfd_create("device", MFD_CLOEXEC);
    assert_true(device->fd >= 0);
    device->sent = malloc(LIBFUSE_BYTES);
    device->received = malloc(LIBFUSE_BYTES);
    assert_non_null(device->sent);
    assert_non_null(device->received);
    *state = device;
    return 0;
}

static int teardown(void **state)
{
    struct device *device = *state;
    void *world = device->world;

    scatter_release(&device->scatter);
    close(device->fd);
    free(device->sent);
    free(device->received);
    free(device);
    return world_teardown(&world);
}

/* The device has a request of `size` bytes. */
static void send(struct device *device, uint32_t opcode, size_t size)
{
    struct random random = {size + 1};
    struct fuse_in_header header = {.len = (uint32_t)size, .opcode = opcode};

    for (size_t i = 0; i < size; i++)
        device->sent[i] = (uint8_t)random_next(&random);
    memcpy(device->sent, &header, size < sizeof(header) ? size : sizeof(header));
    assert_int_equal(ftruncate(device->fd, 0), 0);
    assert_int_equal(pwrite(device->fd, device->sent, size, 0), (ssize_t)size);
    assert_int_equal(lseek(device->fd, 0, SEEK_SET), 0);
    memset(device->received, 0, LIBFUSE_BYTES);
}

static void expect_whole(struct device *device, size_t size, size_t room)
{
    struct fs_piece pieces[SCATTER_PIECES_MAX];

    assert_int_equal(
        scatter_read(&device->scatter, device->fd, device->received, room), (ssize_t)size);
    assert_memory_equal(device->received, device->sent, size);
    assert_int_equal(scatter_take(&device->scatter, pieces), 0);
}

static void expect_scattered(struct device *device, size_t size)
{
    struct fs_piece pieces[SCATTER_PIECES_MAX];
    size_t at = HEAD_BYTES;
    unsigned count;

    assert_int_equal(
        scatter_read(&device->scatter, device->fd, device->received, LIBFUSE_BYTES), (ssize_t)size);
    assert_memory_equal(device->received, device->sent, HEAD_BYTES);
    count = scatter_take(&device->scatter, pieces);
    for (unsigned i = 0; i < count; i++) {
        assert_non_null(pieces[i].buffer);
        assert_ptr_equal(pieces[i].bytes.data, value_buffer_data(pieces[i].buffer));
        assert_int_equal(pieces[i].bytes.size, i + 1 < count ? VALUE_BUFFER_BYTES : size - at);
        assert_memory_equal(pieces[i].bytes.data, device->sent + at, pieces[i].bytes.size);
        at += pieces[i].bytes.size;
        value_buffer_unref(pieces[i].buffer);
    }
    assert_int_equal(at, size);
    assert_int_equal(scatter_take(&device->scatter, pieces), 0);
}

static void the_payload_of_a_write_lies_in_buffers(void **state)
{
    struct device *device = *state;

    for (unsigned pieces = 0; pieces <= SCATTER_PIECES_MAX; pieces++) {
        static const int around[] = {-4097, -4096, -1, 0, 1, 4096};

        for (unsigned i = 0; i < ARRAY_COUNT(around); i++) {
            int64_t payload = (int64_t)pieces * VALUE_BUFFER_BYTES + around[i];

            if (payload <= 0 || payload > FS_WRITE_BYTES_MAX)
                continue;
            send(device, FUSE_WRITE, HEAD_BYTES + (size_t)payload);
            expect_scattered(device, HEAD_BYTES + (size_t)payload);
        }
    }
}

static void other_requests_are_in_one_piece(void **state)
{
    static const size_t sizes[] = {HEADER_BYTES, HEADER_BYTES + 1, HEAD_BYTES - 1, HEAD_BYTES,
        HEAD_BYTES + 1, HEAD_BYTES + VALUE_BUFFER_BYTES - 1, HEAD_BYTES + VALUE_BUFFER_BYTES,
        HEAD_BYTES + VALUE_BUFFER_BYTES + 1, HEAD_BYTES + FS_WRITE_BYTES_MAX};
    struct device *device = *state;

    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        send(device, FUSE_SETXATTR, sizes[i]);
        expect_whole(device, sizes[i], LIBFUSE_BYTES);
    }
}

static void a_write_without_payload_or_cut_off_has_no_pieces(void **state)
{
    struct device *device = *state;

    for (size_t size = 1; size <= HEAD_BYTES; size++) {
        send(device, FUSE_WRITE, size);
        expect_whole(device, size, LIBFUSE_BYTES);
    }
}

static void a_buffer_smaller_than_a_write_is_read_into_as_it_is(void **state)
{
    struct device *device = *state;

    send(device, FUSE_WRITE, 8192);
    expect_whole(device, 8192, HEAD_BYTES + FS_WRITE_BYTES_MAX - 1);
    send(device, FUSE_WRITE, 8192);
    expect_scattered(device, 8192);
}

static void what_nobody_took_is_gone_with_the_next_request(void **state)
{
    struct device *device = *state;

    send(device, FUSE_WRITE, 300000);
    assert_int_equal(
        scatter_read(&device->scatter, device->fd, device->received, LIBFUSE_BYTES), 300000);
    send(device, FUSE_LOOKUP, 50);
    expect_whole(device, 50, LIBFUSE_BYTES);
}

static void a_failure_is_the_devices(void **state)
{
    struct device *device = *state;
    struct fs_piece pieces[SCATTER_PIECES_MAX];

    assert_int_equal(scatter_read(&device->scatter, -1, device->received, LIBFUSE_BYTES), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(scatter_take(&device->scatter, pieces), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_payload_of_a_write_lies_in_buffers),
        CASE(other_requests_are_in_one_piece),
        CASE(a_write_without_payload_or_cut_off_has_no_pieces),
        CASE(a_buffer_smaller_than_a_write_is_read_into_as_it_is),
        CASE(what_nobody_took_is_gone_with_the_next_request),
        CASE(a_failure_is_the_devices),
    };

    return cmocka_run_group_tests_name("fuse/scatter", tests, NULL, NULL);
}
