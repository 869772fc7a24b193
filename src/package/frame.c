#include "package/frame.h"

#include <stdlib.h>
#include <zstd.h>

struct FrameEncoder {
    ZSTD_CCtx *context;
};

struct FrameDecoder {
    ZSTD_DCtx *context;
};

/* zstd's own tables for the higher levels take up to 80 MiB; smaller ones cost 0.2 % (level 9) to 0.5 %
 * (level 19) of the size of npm applications, and are faster. */
static const struct {
    int level; /* from this one on */
    ZSTD_cParameter parameter;
    int log;
} table_sizes[] = {{8, ZSTD_c_hashLog, 20}, {13, ZSTD_c_chainLog, 21}};

static void set(ZSTD_CCtx *context, ZSTD_cParameter parameter, int value) {
    if (ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value))) abort();
}

FrameEncoder *frame_encoder_new(int level) {
    FrameEncoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder || !(encoder->context = ZSTD_createCCtx())) abort();
    set(encoder->context, ZSTD_c_compressionLevel, level);
    for (size_t i = 0; i < sizeof table_sizes / sizeof *table_sizes; i++)
        if (level >= table_sizes[i].level)
            set(encoder->context, table_sizes[i].parameter, table_sizes[i].log);
    return encoder;
}

void frame_encoder_free(FrameEncoder *encoder) {
    if (!encoder) return;
    ZSTD_freeCCtx(encoder->context);
    free(encoder);
}

int frame_encode(FrameEncoder *encoder, const void *content, size_t size, void *out, Frame *frame,
                 Error *error) {
    size_t bytes = ZSTD_compress2(encoder->context, out, FRAME_BYTES_MAX, content, size);
    if (ZSTD_isError(bytes))
        return error_set(error, ERROR_SYSTEM, "cannot compress: %s", ZSTD_getErrorName(bytes));
    *frame = (Frame){.size = (uint32_t)size, .bytes = (uint32_t)bytes, .digest = digest_of(out, bytes)};
    return 0;
}

FrameDecoder *frame_decoder_new(void) {
    FrameDecoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder || !(decoder->context = ZSTD_createDCtx())) abort();
    return decoder;
}

void frame_decoder_free(FrameDecoder *decoder) {
    if (!decoder) return;
    ZSTD_freeDCtx(decoder->context);
    free(decoder);
}

int frame_decode(FrameDecoder *decoder, const Frame *frame, const void *bytes, void *out, Error *error) {
    Digest digest = digest_of(bytes, frame->bytes);
    if (!digest_equal(&digest, &frame->digest))
        return error_set(error, ERROR_INVALID,
                         "its bytes are not those that were signed; fetch the package again");
    if (ZSTD_findFrameCompressedSize(bytes, frame->bytes) != frame->bytes ||
        ZSTD_getFrameContentSize(bytes, frame->bytes) != frame->size ||
        ZSTD_decompressDCtx(decoder->context, out, frame->size, bytes, frame->bytes) != frame->size)
        return error_set(error, ERROR_INVALID, "it is not one zstd frame of %u bytes of content",
                         frame->size);
    return 0;
}
