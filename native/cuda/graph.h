// A sequence of launches recorded once and launched as one.
#pragma once

#include <utility>

#include "cuda/queue.h"

namespace turboclip::cuda {

class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() { clear(); }

  bool recorded() const { return exec_ != nullptr; }

  /// Records what `enqueue` launches on the queue; nothing runs yet.
  template <class Enqueue>
  void record(Queue& queue, const Enqueue& enqueue) {
    clear();
    if (!queue.status()) return;
    queue.check("capture of a graph",
                cudaStreamBeginCapture(queue.stream(), cudaStreamCaptureModeThreadLocal));
    if (!queue.status()) return;
    enqueue();
    // The capture ends even if a launch failed, or the stream would stay in it.
    cudaGraph_t graph = nullptr;
    queue.check("end of a capture", cudaStreamEndCapture(queue.stream(), &graph));
    if (queue.status()) queue.check("a graph", cudaGraphInstantiate(&exec_, graph, 0));
    if (graph != nullptr) cudaGraphDestroy(graph);
  }

  void launch(Queue& queue) const {
    if (queue.status()) queue.check("launch of a graph", cudaGraphLaunch(exec_, queue.stream()));
  }

  void clear() {
    if (exec_ != nullptr) cudaGraphExecDestroy(std::exchange(exec_, nullptr));
  }

 private:
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace turboclip::cuda
