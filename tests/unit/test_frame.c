#include "package/frame.h"
#include "support/sample.h"
#include <zstd.h>

typedef struct Buffers {
    uint8_t *content, *bytes, *decoded;
} Buffers;

static int setup(void **state) {
    Buffers *buffers = calloc(1, sizeof *buffers);
    buffers->content = calloc(1, FRAME_SIZE);
    buffers->bytes = calloc(1, FRAME_BYTES_MAX);
    buffers->decoded = calloc(1, FRAME_SIZE);
    *state = buffers;
    return 0;
}

static int teardown(void **state) {
    Buffers *buffers = *state;
    free(buffers->content);
    free(buffers->bytes);
    free(buffers->decoded);
    free(buffers);
    return 0;
}

static void fill(uint8_t *bytes, size_t size, uint64_t modulus) {
    uint64_t seed = 7;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        bytes[i] = (uint8_t)((seed >> 40) % modulus);
    }
}

static Frame encode(Buffers *buffers, int level, size_t size) {
    FrameEncoder *encoder = frame_encoder_new(level);
    Frame frame;
    assert_done(frame_encode(encoder, buffers->content, size, buffers->bytes, &frame, error));
    frame_encoder_free(encoder);
    return frame;
}

static int decode(Buffers *buffers, const Frame *frame, Error *error) {
    FrameDecoder *decoder = frame_decoder_new();
    int result = frame_decode(decoder, frame, buffers->bytes, buffers->decoded, error);
    frame_decoder_free(decoder);
    return result;
}

static void test_decodes_what_it_encodes(void **state) {
    Buffers *buffers = *state;
    static const size_t sizes[] = {1, 2, 1000, 128 << 10, FRAME_SIZE - 1, FRAME_SIZE};
    static const int levels[] = {FRAME_LEVEL_MIN, FRAME_LEVEL_DEFAULT, 13, FRAME_LEVEL_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof levels / sizeof *levels; j++) {
            if (levels[j] > FRAME_LEVEL_DEFAULT && sizes[i] > 128 << 10) continue; /* slow, and nothing new */
            fill(buffers->content, sizes[i], 17);
            Frame frame = encode(buffers, levels[j], sizes[i]);
            assert_int_equal(frame.size, sizes[i]);
            assert_done(decode(buffers, &frame, error));
            assert_memory_equal(buffers->content, buffers->decoded, sizes[i]);
        }
}

static void test_noise_fits_its_bound(void **state) {
    Buffers *buffers = *state;
    fill(buffers->content, FRAME_SIZE, 256);
    Frame frame = encode(buffers, FRAME_LEVEL_DEFAULT, FRAME_SIZE);
    assert_true(frame.bytes <= FRAME_BYTES_MAX);
    assert_true(ZSTD_compressBound(FRAME_SIZE) <= FRAME_BYTES_MAX);
    assert_done(decode(buffers, &frame, error));
}

static void test_refuses_other_bytes_before_decoding_them(void **state) {
    Buffers *buffers = *state;
    fill(buffers->content, 1000, 17);
    Frame frame = encode(buffers, 3, 1000);
    buffers->bytes[frame.bytes / 2] ^= 1;
    assert_refused(decode(buffers, &frame, error), ERROR_INVALID, "not those that were signed");
}

/* As if the signer had lied: the digest is right, the sizes are not. */
static void refuse(Buffers *buffers, uint32_t size, uint32_t bytes) {
    Frame frame = {size, bytes, digest_of(buffers->bytes, bytes)};
    assert_refused(decode(buffers, &frame, error), ERROR_INVALID, "not one zstd frame");
}

static void test_refuses_a_bomb(void **state) {
    Buffers *buffers = *state;
    memset(buffers->content, 0, FRAME_SIZE);
    Frame frame = encode(buffers, 3, FRAME_SIZE);
    assert_true(frame.bytes < 1000); /* 4 MiB of zeros … */
    refuse(buffers, 100, frame.bytes);
    uint8_t *many = malloc((size_t)64 * FRAME_SIZE); /* … and a frame of 256 MiB that says it is 4 */
    memset(many, 0, (size_t)64 * FRAME_SIZE);
    size_t size = ZSTD_compress(buffers->bytes, FRAME_BYTES_MAX, many, (size_t)64 * FRAME_SIZE, 3);
    free(many);
    assert_false(ZSTD_isError(size));
    refuse(buffers, FRAME_SIZE, (uint32_t)size);
}

static void test_refuses_what_is_not_exactly_one_frame(void **state) {
    Buffers *buffers = *state;
    fill(buffers->content, 1000, 17);
    Frame frame = encode(buffers, 3, 1000);
    refuse(buffers, 1000, frame.bytes - 1);
    refuse(buffers, 1000, frame.bytes + 1);
    refuse(buffers, 999, frame.bytes);
    memcpy(buffers->bytes + frame.bytes, buffers->bytes, frame.bytes);
    refuse(buffers, 1000, 2 * frame.bytes);
    refuse(buffers, 2000, 2 * frame.bytes);
    static const uint8_t skippable[] = {0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    memcpy(buffers->bytes, skippable, sizeof skippable);
    refuse(buffers, 4, sizeof skippable);
    refuse(buffers, 1, sizeof skippable);
}

static void test_refuses_a_frame_that_does_not_say_its_size(void **state) {
    Buffers *buffers = *state;
    fill(buffers->content, 1000, 17);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    size_t size = ZSTD_compress2(context, buffers->bytes, FRAME_BYTES_MAX, buffers->content, 1000);
    ZSTD_freeCCtx(context);
    refuse(buffers, 1000, (uint32_t)size);
}

#define row(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        row(test_decodes_what_it_encodes),
        row(test_noise_fits_its_bound),
        row(test_refuses_other_bytes_before_decoding_them),
        row(test_refuses_a_bomb),
        row(test_refuses_what_is_not_exactly_one_frame),
        row(test_refuses_a_frame_that_does_not_say_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
