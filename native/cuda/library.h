/* The C interface of libturboclip_cuda.so, which is opened only where a driver is (backend.cpp). Tensors are
   dense float32; whoever calls owns every buffer. A function that can fail fills `error` and returns 0 or
   NULL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
/* All else in the library is hidden. */
#pragma GCC visibility push(default)

#define TURBOCLIP_CUDA_ABI 6

/* code: an ErrorCode of engine/error.h; message: a sentence, cut if it must be. */
typedef struct {
  int32_t code;
  char message[1024];
} turboclip_cuda_error;

/* The checkpoint's sizes, as in DenoiserConfig. */
typedef struct {
  int64_t width, heads, ffn, layers, text_width, in_channels, has_sla;
} turboclip_cuda_config;

typedef struct {
  int64_t frames, height, width; /* of the latent */
  const float* text;             /* [text_rows, text_width] */
  int64_t text_rows;
  const float* image; /* [in_channels - 16, frames, height, width], or NULL */
  int32_t sla;        /* 0: dense attention */
  double topk_ratio;
  int64_t other_scratch; /* bytes of the device that another stage takes after the steps */
} turboclip_cuda_clip;

typedef struct {
  int32_t ode;
  int32_t steps;
  double sigma_max;
  uint64_t seed;
  /* Called after each step, counted from 1; anything but 0 stops the clip. */
  int32_t (*step_done)(void* user, int32_t step);
  void* user;
} turboclip_cuda_sampling;

typedef struct {
  char name[256];
  int32_t driver; /* the newest CUDA that it knows: 13000 is 13.0 */
  int64_t free_bytes, total_bytes;
} turboclip_cuda_device;

typedef struct turboclip_cuda_denoiser turboclip_cuda_denoiser;

/* TURBOCLIP_CUDA_ABI of the library. */
int32_t turboclip_cuda_abi(void);
/* How many devices there are; 0 with the reason in `error` if none can be used. */
int32_t turboclip_cuda_devices(turboclip_cuda_error* error);
int32_t turboclip_cuda_describe(int32_t device, turboclip_cuda_device* out, turboclip_cuda_error* error);
/* Where a transformer's weights go, as TransformerPlacement has it. */
typedef struct {
  int64_t memory_limit;  /* bytes of the device that this process may take; 0 is all that is free */
  int64_t most_resident; /* blocks on the device at most; negative: as many as fit */
  int64_t clip_bytes;    /* of its largest clip's steps, if known */
  int64_t other_weights, other_scratch; /* of models that are still to be loaded */
} turboclip_cuda_placement;
turboclip_cuda_denoiser* turboclip_cuda_load(int32_t device, const char* checkpoint,
                                             const turboclip_cuda_placement* placement,
                                             turboclip_cuda_error* error);
void turboclip_cuda_free(turboclip_cuda_denoiser* denoiser);
turboclip_cuda_config turboclip_cuda_config_of(const turboclip_cuda_denoiser* denoiser);
/* Bytes of device memory that the weights take. */
int64_t turboclip_cuda_weight_bytes(const turboclip_cuda_denoiser* denoiser);
/* Its blocks, and how many of them come from the host's memory at each step. */
int64_t turboclip_cuda_streamed_blocks(const turboclip_cuda_denoiser* denoiser);
int32_t turboclip_cuda_begin_clip(turboclip_cuda_denoiser* denoiser, const turboclip_cuda_clip* clip,
                                  turboclip_cuda_error* error);
/* x, v: [16, frames, height, width]. */
int32_t turboclip_cuda_velocity(turboclip_cuda_denoiser* denoiser, const float* x, double timestep, float* v,
                                turboclip_cuda_error* error);
/* All steps on the device; latent: [16, frames, height, width]. */
int32_t turboclip_cuda_sample(turboclip_cuda_denoiser* denoiser, const turboclip_cuda_sampling* sampling,
                              float* latent, turboclip_cuda_error* error);

/* y [rows, out] = x w^T of matrices in INT8 blocks of 128 x 128 (engine/quant/int8_blocks.h); out and in are
   multiples of 128. For comparing the product itself. */
typedef struct {
  const int8_t* values; /* [rows, columns] */
  const float* scales;  /* [ceil(rows / 128), columns / 128] */
  int64_t rows, columns;
} turboclip_cuda_blocks;
int32_t turboclip_cuda_int8_product(int32_t device, const turboclip_cuda_blocks* x,
                                    const turboclip_cuda_blocks* w, float* y, turboclip_cuda_error* error);

/* A video decoder (Wan's VAE, or TAEHV): decoder_library.cpp. */
typedef struct turboclip_cuda_decoder turboclip_cuda_decoder;
typedef struct {
  const float* z;                /* [16, frames, height, width] */
  int64_t frames, height, width; /* of the latent */
  /* Frames [first, first + count) as [count, height, width, 3], valid during the call; done: the share of the
     clip that they end, in [0, 1]. Anything but 0 stops the clip. */
  int32_t (*take)(void* user, int64_t first, int64_t count, int64_t height, int64_t width, const float* rgb,
                  double done);
  /* If not NULL, it gets the frames, as NV12 (engine/nv12.h), and `take` none. */
  int32_t (*take_nv12)(void* user, int64_t first, int64_t count, int64_t height, int64_t width,
                       const uint8_t* nv12, double done);
  /* Asked between latent frames; anything but 0 cancels the clip. */
  int32_t (*stopped)(void* user);
  void* user;
} turboclip_cuda_decoding;
turboclip_cuda_decoder* turboclip_cuda_load_decoder(int32_t device, const char* checkpoint,
                                                    int64_t memory_limit, turboclip_cuda_error* error);
void turboclip_cuda_free_decoder(turboclip_cuda_decoder* decoder);
/* Bytes of device memory that the weights take. */
int64_t turboclip_cuda_decoder_bytes(const turboclip_cuda_decoder* decoder);
/* Bytes of device memory that decoding a latent of this shape takes beside them. */
int64_t turboclip_cuda_decoding_bytes(turboclip_cuda_decoder* decoder, int64_t frames, int64_t height,
                                      int64_t width);
int32_t turboclip_cuda_decode(turboclip_cuda_decoder* decoder, const turboclip_cuda_decoding* clip,
                              turboclip_cuda_error* error);

/* umT5, prompts to text rows: text_encoder_library.cpp. */
typedef struct turboclip_cuda_text_encoder turboclip_cuda_text_encoder;
typedef struct {
  int64_t width, vocabulary;
  int64_t weight_bytes; /* of device memory */
} turboclip_cuda_text_config;
typedef struct {
  const int32_t* ids; /* [tokens], </s> included, no padding */
  int64_t tokens;     /* 1 to 512 */
  /* Asked before each block; anything but 0 cancels the prompt. */
  int32_t (*stopped)(void* user);
  void* user;
} turboclip_cuda_prompt;
/* int8: quantise the weights to INT8, or keep them in bfloat16. memory_limit: as in
   turboclip_cuda_placement. */
turboclip_cuda_text_encoder* turboclip_cuda_load_text_encoder(int32_t device, const char* checkpoint,
                                                              int32_t int8, int64_t memory_limit,
                                                              turboclip_cuda_error* error);
void turboclip_cuda_free_text_encoder(turboclip_cuda_text_encoder* encoder);
turboclip_cuda_text_config turboclip_cuda_text_config_of(const turboclip_cuda_text_encoder* encoder);
/* rows: [tokens, width]. */
int32_t turboclip_cuda_encode(turboclip_cuda_text_encoder* encoder, const turboclip_cuda_prompt* prompt,
                              float* rows, turboclip_cuda_error* error);

/* What a model set and a clip take, from the files' headers: plan_library.cpp. */
typedef struct {
  const char* denoiser;
  const char* decoder;
  const char* tiny_decoder; /* "": none */
  const char* text_encoder;
  int32_t text_encoding; /* as in text_encoding.h */
  /* Loaded already, by another engine of the process; the text encoder in bfloat16 and in INT8. */
  int32_t decoder_there, tiny_there, bf16_there, int8_there;
  int32_t device;                /* whose tiles a prompt is counted for; negative: none is there to ask */
  int64_t frames, height, width; /* of the latent */
  int64_t text_rows;
  int32_t sla;
  double topk_ratio;
  int32_t tiny;          /* decoded by the tiny decoder */
  int64_t available;     /* bytes of the device */
  int64_t most_resident; /* as in turboclip_cuda_placement */
  int32_t whole;         /* no blocks may come from the host's memory but those that most_resident names */
} turboclip_cuda_plan_request;
typedef struct {
  int32_t text_encoding;                       /* what automatic became */
  int64_t layers, streamed;                    /* blocks */
  int64_t transformer, text_encoder, decoders; /* bytes of weights on the device */
  int64_t denoise, ring, decode, text;         /* bytes of the stages; the ring is part of denoise */
  int64_t peak;
  int64_t host; /* bytes of pinned memory */
  int32_t fits;
  char remedy[512]; /* what would fit, if it does not */
} turboclip_cuda_plan_answer;
int32_t turboclip_cuda_plan(const turboclip_cuda_plan_request* request, turboclip_cuda_plan_answer* answer,
                            turboclip_cuda_error* error);
/* Bytes of a device that this process may still take, with the limit as in turboclip_cuda_placement. */
int32_t turboclip_cuda_available(int32_t device, int64_t memory_limit, int64_t* bytes,
                                 turboclip_cuda_error* error);
/* Bytes that this process holds of a device, and the most that it held. */
void turboclip_cuda_held(int32_t device, int64_t* held, int64_t* peak);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
