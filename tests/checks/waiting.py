#!/usr/bin/env python3
"""Every public function has a row in docs/waiting.md: how long it may wait, or that it does not.

waiting.py SOURCE_ROOT
waiting.py --self-test
"""

import pathlib
import re
import sys
import tempfile

# Headers of values, of functions that only compute, and of what is not for users: nothing in them can wait. Every other
# header is looked at.
VALUES = {
    "base/bytes.hpp",
    "base/call_options.hpp",
    "base/deadline.hpp",
    "base/error.hpp",
    "base/export.hpp",
    "base/secret.hpp",
    "base/work.hpp",
    "connection/box.hpp",
    "connection/box_codec.hpp",
    "fmt.hpp",
    "master/audit.hpp",
    "master/operation_in_progress.hpp",
    "messages/address_family.hpp",
    "base/value.hpp",
    "operations/execute.hpp",
    "operations/filesystem.hpp",
    "operations/host_facts.hpp",
    "operations/streams.hpp",
    "operations/transfer.hpp",
    "operations/tree.hpp",
    "slave/served_operation.hpp",
    "transport/stranger_limits.hpp",
    "transport/tls.hpp",
    "version.hpp",
}

TOKEN = re.compile(
    r"(?P<open>\{)|(?P<close>\})|(?P<semicolon>;)"
    r"|\b(?P<access>public|protected|private)\s*:(?!:)"
    r"|\b(?P<kind>class|struct)\s+(?:\[\[\w+\]\]\s+)?(?:REMSH_API\s+)?(?P<scope>\w+)(?=[\w\s:<>,]*\{)"
    r"|(?P<function>~?\b[A-Za-z_]\w*)\s*\("
)
NO_FUNCTIONS = {"if", "for", "while", "switch", "return", "sizeof", "static_assert", "noexcept", "assert", "decltype",
                "requires", "defined", "alignas", "catch"}


def functions(text):
    """The public functions that a header declares: 'Class::name', or 'name' of a free one."""
    text = re.sub(r"//[^\n]*|^\s*#[^\n]*", "", text, flags=re.M)
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    found = set()
    scopes = []  # (class name or None, public?, is a body)
    pending = None
    is_declared = False  # the declaration that we are in has its name
    position = 0
    while match := TOKEN.search(text, position):
        position = match.end()
        if match["scope"]:
            pending = (match["scope"], match["kind"] == "struct")
        elif match["open"]:
            name, is_public = pending or (None, True)
            is_namespace = pending is None and re.search(r"namespace[\s\w:]*$", text[:match.start()]) is not None
            scopes.append([name, is_public, pending is None and not is_namespace])
            pending = None
            is_declared = False
        elif match["close"]:
            if scopes:
                scopes.pop()
            is_declared = False
        elif match["semicolon"]:
            is_declared = False
        elif match["access"] and scopes:
            scopes[-1][1] = match["access"] == "public"
            is_declared = False
        elif match["function"]:
            position = end_of_parentheses(text, match.end())
            name = match["function"]
            start = max(text.rfind(mark, 0, match.start()) for mark in ";{}")
            before = re.sub(r"\btemplate\s*<[^;{}]*?>", "", text[start + 1:match.start()])
            if re.search(r"\b(using|operator)\b|=", before):
                is_declared = True  # an alias, an operator, which never waits, or the value of a constant
                continue
            if is_declared or any(body for _, _, body in scopes) or name in NO_FUNCTIONS:
                continue
            is_declared = True
            classes = [scope for scope in scopes if scope[0]]
            if any(not is_public for _, is_public, _ in classes):
                continue
            if classes and name == classes[-1][0] or name == "operator":
                continue  # constructors only make the object
            found.add("::".join([scope[0] for scope in classes] + [name]))
    return found


def end_of_parentheses(text, position):
    depth = 1
    while depth > 0 and position < len(text):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        position += 1
    return position


def rows(document):
    """The functions that have a row: those in the first column of the tables, and those of the list at the end."""
    found = set()
    for line in document.splitlines():
        if line.startswith("|"):
            found.update(re.findall(r"`([\w:~]+)\(?\)?`", line.split("|")[1]))
        elif line.startswith("* "):
            found.update(re.findall(r"`([\w:~]+)\(\)`", line))
    return found


def headers(include):
    """What is to be looked at: all headers but VALUES, and which of VALUES are not there."""
    found = {path.relative_to(include).as_posix() for path in include.rglob("*.hpp")}
    return sorted(found - VALUES), sorted(VALUES - found)


def check(root):
    include = root / "include/remsh"
    declared = {}
    looked_at, missing = headers(include)
    for header in looked_at:
        for function in functions((include / header).read_text()):
            declared[function] = header
    listed = rows((root / "docs/waiting.md").read_text())
    errors = [f"VALUES has {header}, which is not in include/remsh: take it out" for header in missing]
    errors += [f"docs/waiting.md has no row for {name}(), of {declared[name]}" for name in sorted(set(declared) - listed)]
    errors += [f"docs/waiting.md has a row for {name}(), which no header declares"
               for name in sorted(listed - set(declared))]
    return errors


def self_test():
    header = """
    namespace remsh {
    struct Options { std::function<void(int)> hook = {}; int a{0}; };  // not_this(
    class REMSH_API Thing final : public Base {
     public:
      explicit Thing(Options options);
      ~Thing() override;
      void wait(Deadline deadline = Deadline(5), const Filter& filter = {}) const;
      [[nodiscard]] bool is_done() const noexcept { return other(); }
      std::function<void(int)> shown;
      static constexpr Duration slice = std::chrono::milliseconds(10);
      template <class T = int>
      void start(T what);
     protected:
      void hidden();
     private:
      struct Impl { void inside(); };
      void secret();
    };
    using Callback = std::function<bool(const Thing&)>;
    class [[nodiscard]] Held { public: bool poll(int a) { return go(a); } explicit operator bool() const; };
    std::unique_ptr<Thing> make_thing(const std::string& text = std::string("a)"));
    }
    """
    got = functions(header)
    wanted = {"Thing::~Thing", "Thing::wait", "Thing::is_done", "Thing::start", "Held::poll", "make_thing"}
    assert wanted <= got, wanted - got
    assert not got & {"Thing::hidden", "Thing::secret", "Thing::Impl::inside", "other", "not_this", "bool", "Held::bool", "go",
                      "Thing::milliseconds"}, got
    assert rows("| `Thing::wait()`, `make_thing()` | 5 s |\n* `Thing::is_done()`\ntext `no()`\n") == {
        "Thing::wait", "make_thing", "Thing::is_done"}
    with tempfile.TemporaryDirectory() as directory:
        include = pathlib.Path(directory)
        for name in VALUES - {"version.hpp"} | {"new.hpp"}:
            (include / name).parent.mkdir(exist_ok=True)
            (include / name).touch()
        assert headers(include) == (["new.hpp"], ["version.hpp"]), headers(include)


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    errors = check(pathlib.Path(sys.argv[1]))
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
