// Where the frames of a decoder's layers lie in device memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "cuda/conv_pair.h"
#include "cuda/video_passes.h"

namespace turboclip::cuda {

/// One frame of features, [height, width, stored channels].
struct FrameSize {
  int height = 0;
  int width = 0;
  int channels = 0;

  std::int64_t pixels() const { return std::int64_t{height} * width; }
  std::int64_t bytes() const { return pixels() * channels * static_cast<std::int64_t>(sizeof(F16)); }
};

/// Hands out parts of one allocation, each 256-byte aligned. Layers place their frames twice: on an arena
/// without memory, which only counts, and then on one of as many bytes.
class Arena {
 public:
  Arena() = default;
  /// base: of `counted.bytes()`.
  Arena(unsigned char* base, const Arena& counted) : base_(base), scratch_(base + counted.kept_) {}

  /// Kept for as long as the arena.
  F16* keep(std::int64_t bytes) {
    F16* place = reinterpret_cast<F16*>(base_ == nullptr ? nullptr : base_ + kept_);
    kept_ += aligned(bytes);
    return place;
  }
  /// The same bytes for every layer, each of which uses them while it runs.
  unsigned char* scratch(std::int64_t bytes) {
    shared_ = std::max(shared_, aligned(bytes));
    return scratch_;
  }
  std::int64_t bytes() const { return kept_ + shared_; }

  static std::int64_t aligned(std::int64_t bytes) { return ceil_div(bytes, 256) * 256; }

 private:
  unsigned char* base_ = nullptr;
  unsigned char* scratch_ = nullptr;
  std::int64_t kept_ = 0;
  std::int64_t shared_ = 0;
};

/// What a pair's convolution keeps: the two frames before the next ones, and their planes while it runs.
class PairMemory {
 public:
  /// planes: kConvPlanes frames that nobody else uses while the convolution runs.
  void place(Arena& arena, const FrameSize& size, unsigned char* planes) {
    size_ = size;
    for (F16*& frame : before_) frame = arena.keep(size.bytes());
    for (int i = 0; i < kConvPlanes; ++i) {
      planes_[i] = reinterpret_cast<F16*>(planes + i * Arena::aligned(size.bytes()));
    }
    seen_ = 0;
  }
  static std::int64_t plane_bytes(const FrameSize& size) {
    return kConvPlanes * Arena::aligned(size.bytes());
  }
  void clear() { seen_ = 0; }

  const FrameSize& size() const { return size_; }
  /// Where the clip's first frame is written, which is made by itself.
  F16* first() { return before_[1]; }
  void push(int frames) { seen_ += frames; }

  PairNorm norm(const F16* const (&frames)[2]) const {
    return {{frames[0], frames[1]},   size_.pixels(), size_.channels,
            {before_[0], before_[1]}, seen_ < 2,      {planes_[0], planes_[1], planes_[2], planes_[3]}};
  }
  ConvPlanes planes() const {
    return {{planes_[0], planes_[1], planes_[2], planes_[3]}, size_.height, size_.width, size_.channels};
  }

 private:
  FrameSize size_;
  F16* before_[2] = {};
  F16* planes_[kConvPlanes] = {};
  std::int64_t seen_ = 0;
};

/// The last frames that a convolution sees: the newest takes the place of the oldest, and nothing moves.
class FrameRing {
 public:
  /// frames: that it sees; ahead: that may be written beside them, at most 1.
  void place(Arena& arena, const FrameSize& size, int frames, int ahead = 0) {
    size_ = size;
    frames_ = frames;
    slots_ = frames + ahead;
    for (int i = 0; i < slots_; ++i) values_[static_cast<std::size_t>(i)] = arena.keep(size.bytes());
    seen_ = 0;
  }
  void clear() { seen_ = 0; }

  const FrameSize& size() const { return size_; }
  /// Where the next frame is written, or those after it.
  F16* next(int frame = 0) const { return values_[static_cast<std::size_t>((seen_ + frame) % slots_)]; }
  /// The frame at next(0) is there.
  void push() { ++seen_; }
  const F16* newest() const { return values_[static_cast<std::size_t>((seen_ - 1) % slots_)]; }

  ConvInput input() const {
    ConvInput in{{}, size_.height, size_.width, size_.channels};
    for (int i = 0; i < frames_; ++i) {
      const std::int64_t frame = seen_ - frames_ + i;
      in.frames[i] = frame < 0 ? nullptr : values_[static_cast<std::size_t>(frame % slots_)];
    }
    return in;
  }

 private:
  FrameSize size_;
  int frames_ = 1;
  int slots_ = 1;
  std::array<F16*, kConvFrames + 1> values_{};
  std::int64_t seen_ = 0;
};

}  // namespace turboclip::cuda
