#include "engine/json.h"

#include "check.h"

namespace turboclip {
namespace {

TEST("the JSON reader takes every kind of value and keeps integers apart from reals") {
  const Result<Json> json = Json::parse(
      R"( {"a": [1, -2.5e1, true, null, "x\n\u00e9\ud83d\ude00\/"], "b": {}, "c": 9007199254740993} )");
  CHECK(json.ok());
  if (!json) return;
  const Json::Array& a = *json.value().find("a")->array();
  CHECK_EQUAL(*a[0].integer(), 1);
  double real = 0;
  CHECK(a[1].number(real) && real == -25.0 && a[1].integer() == nullptr);
  CHECK_EQUAL(*a[4].string(), "x\n\xc3\xa9\xf0\x9f\x98\x80/");
  CHECK(json.value().find("b")->object()->empty());
  CHECK_EQUAL(*json.value().find("c")->integer(), 9007199254740993);
  CHECK(json.value().find("d") == nullptr);
}

TEST("the JSON reader refuses what is not JSON") {
  for (const char* text : {"",
                           "{",
                           "[1,]",
                           "{\"a\":1,}",
                           "{a:1}",
                           "01",
                           "1.",
                           "-",
                           "+1",
                           "1e",
                           "nul",
                           "\"\x01\"",
                           "\"\\q\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\u12g4\"",
                           "\"open",
                           "1 2",
                           "{\"a\":1,\"a\":2}",
                           "1e999",
                           "[1 2]",
                           "{\"a\" 1}",
                           "\xef\xbb\xbf{}"}) {
    const Result<Json> json = Json::parse(text);
    if (json.ok()) test::record_failure(__FILE__, __LINE__, std::string("accepted: ") + text);
  }
}

TEST("the JSON reader refuses nesting that would exhaust the stack") {
  CHECK(!Json::parse(std::string(100'000, '[')).ok());
  CHECK(Json::parse(std::string(10, '[') + std::string(10, ']')).ok());
}

}  // namespace
}  // namespace turboclip
