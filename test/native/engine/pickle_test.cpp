// What a hostile .pth tries. Each of these files would run code under pickle.load.
#include "engine/checkpoint/pickle.h"

#include "check.h"
#include "engine/checkpoint.h"
#include "support.h"

namespace turboclip {
namespace {

using test::mentions;
namespace pickle = test::pickle;

Error refusal(const std::string& stream) {
  const test::TemporaryFolder folder;
  const Result<Checkpoint> opened = Checkpoint::open(folder.write("model.pth", test::pth_bytes(stream, {})));
  return opened ? Error{ErrorCode::internal, "it was accepted"} : opened.error();
}

std::string calling(const std::string& module, const std::string& name) {
  return pickle::global(module, name) + "(" + pickle::text("touch /tmp/owned") + "tR";
}

TEST("a .pth that asks for any other global is refused by its name") {
  const std::pair<const char*, const char*> globals[] = {
      {"posix", "system"},
      {"os", "system"},
      {"builtins", "eval"},
      {"builtins", "exec"},
      {"__builtin__", "eval"},
      {"subprocess", "Popen"},
      {"runpy", "_run_code"},
      {"torch", "load"},
      {"torch._utils", "_rebuild_tensor"},
      {"torch", "FloatStorage.__init__"},
      {"collections", "OrderedDict.popitem"},
      {"numpy.core.multiarray", "_reconstruct"},
  };
  for (const auto& [module, name] : globals) {
    const Error error = refusal("\x80\x02" + calling(module, name) + ".");
    const std::string qualified = std::string(module) + "." + name;
    if (error.code != ErrorCode::pickle_refused ||
        !mentions(error.message, {"model.pth", "refuses to load '" + qualified + "'"})) {
      test::record_failure(__FILE__, __LINE__, qualified + ": " + error.message);
    }
  }
}

TEST("a hostile global is refused wherever it hides") {
  const std::string nested_in_dict = pickle::state_dict({{"weight", calling("posix", "system")}});
  const std::string nested_in_tuple = "\x80\x02((" + calling("posix", "system") + "tt.";
  const std::string stacked = "\x80\x04\x8c\x05posix\x8c\x06system\x93.";
  const std::string instance = "\x80\x02(" + pickle::text("id") + "iposix\nsystem\n.";
  const std::string unused = "\x80\x02" + pickle::global("posix", "system") + "0}.";
  for (const std::string& stream : {nested_in_dict, nested_in_tuple, stacked, instance, unused}) {
    const Error error = refusal(stream);
    CHECK(error.code == ErrorCode::pickle_refused);
    CHECK(mentions(error.message, {"'posix.system'"}));
  }
}

TEST("a known global may not be called with arguments it does not take") {
  for (const char* name : {"_rebuild_tensor_v2", "_rebuild_parameter"}) {
    CHECK(refusal("\x80\x02" + calling("torch._utils", name) + ".").code == ErrorCode::format_invalid);
  }
  CHECK(refusal("\x80\x02" + calling("collections", "OrderedDict") + ".").code == ErrorCode::format_invalid);
  CHECK(refusal("\x80\x02" + calling("torch", "FloatStorage") + ".").code == ErrorCode::format_invalid);
}

TEST("opcodes that build objects are refused by name") {
  const std::pair<const char*, const char*> opcodes[] = {
      {"o", "OBJ"}, {"\x81", "NEWOBJ"}, {"\x92", "NEWOBJ_EX"}, {"\x82\x01", "EXT"}, {"\x83\x01\x01", "EXT"}};
  for (const auto& [opcode, name] : opcodes) {
    const Error error = refusal(std::string("\x80\x02") + opcode + ".");
    CHECK(error.code == ErrorCode::pickle_refused);
    CHECK(mentions(error.message, {name}));
  }
  CHECK(refusal("\x80\x02P0\n.").code == ErrorCode::pickle_refused);
}

TEST("a pickle that misuses its stack, marks or memo is an error, not a crash") {
  const char* const streams[] = {
      "\x80\x02.",
      "\x80\x02"
      "0.",
      "\x80\x02"
      "2.",
      "\x80\x02t.",
      "\x80\x02u.",
      "\x80\x02s.",
      "\x80\x02R.",
      "\x80\x02Q.",
      "\x80\x02"
      "b.",
      "\x80\x02q\x01.",
      "\x80\x02h\x01.",
      "\x80\x02j\x01\x01\x01\x01.",
      "\x80\x02\x85.",
      "\x80\x02\x87.",
      "\x80\x02K\x01K\x01s.",
      "\x80\x02}K\x01u.",
      "\x80\x02}(K\x01u.",
      "\x80\x02K\x01(\x85.",
      "\x80\x02K\x01(0.",
      "\x80\x02K\x01K\x01.",
      "\x80\x02(K\x01.",
      "\x80\x02K\x01.K\x01",
      "\x80\x02K\x01K\x01R.",
      "\x80\x02\x93.",
      "\x80\x02K\x01K\x01\x93.",
      "\x80\x02\x8a\x09",
      "\x80\x06N.",
      "\x80\x01N.",
      "N.",
      "\x80\x02]K\x01K\x01"
      "b.",
      "\x80\x02}K\x01"
      "b.",
  };
  for (const char* stream : streams) {
    const Error error = refusal(stream);
    if (error.message == "it was accepted") test::record_failure(__FILE__, __LINE__, stream);
  }
}

TEST("a pickle cannot make the reader allocate what the file does not hold") {
  CHECK(mentions(refusal("\x80\x02X\xff\xff\xff\x7f"
                         "abc.")
                     .message,
                 {"above the limit"}));
  CHECK(!mentions(refusal("\x80\x04\x8d" + test::raw_value<std::uint64_t>(~std::uint64_t{0}) + ".").message,
                  {"accepted"}));
  CHECK(mentions(refusal("\x80\x02"
                         "c" +
                         std::string(300, 'a') + "\nb\n.")
                     .message,
                 {"more than 256 bytes"}));
  CHECK(mentions(refusal("\x80\x02" + std::string((1 << 20) + 1, '(') + ".").message, {"marks"}));
  CHECK(mentions(refusal("\x80\x02N" + std::string(1 << 20, '2') + ".").message, {"stacks"}));
}

TEST("values that contain themselves do no harm") {
  const std::string cyclic = "\x80\x02}q\x01" + pickle::text("self") + "h\x01s.";
  CHECK(mentions(refusal(cyclic).message, {"no tensors"}));
}

}  // namespace
}  // namespace turboclip
