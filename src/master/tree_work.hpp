// The operations send_tree and fetch_tree, each as Work.
#pragma once

#include "master/local_disk.hpp"
#include "master/slave_work.hpp"
#include "operations/tree_sink.hpp"
#include "operations/tree_source.hpp"

#include <remsh/operations/tree.hpp>

#include <optional>
#include <string>

namespace remsh {

// The arguments must outlive the work. They have members that the back end has references to, and end its work before
// these are destroyed.

class SendTreeWork final : public SlaveWork<operations::SendTree, TreeResult> {
 public:
  SendTreeWork(const Target& target, const std::string& from, const Bytes& to, const TreeOptions& options);
  ~SendTreeWork() override { cancel(); }

 private:
  TreeResult finish(Result<void> answer) override;

  Progress progress_;
  std::optional<operations::TreeSource> source_;
};

class FetchTreeWork final : public SlaveWork<operations::FetchTree, TreeResult> {
 public:
  FetchTreeWork(const Target& target, const Bytes& from, const std::string& to, const TreeOptions& options);
  ~FetchTreeWork() override { cancel(); }

 private:
  using Sink = std::optional<operations::TreeSink>;
  TreeResult finish(Result<void> answer) override;
  Result<void> create();
  Result<void> take_in(BytesView bytes);
  void require_local(const Result<void>& result) const;

  const std::string& to_;
  const TreeOptions& options_;
  Progress progress_;
  Sink* const sink_;  // of the disk's steps; only they use it, except TreeSink::moved()
  LocalDisk disk_;
};

}  // namespace remsh
