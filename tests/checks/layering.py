#!/usr/bin/env python3
"""Layering: proves who includes whom, and that every file is listed for the build.

Usage: layering.py ROOT    checks a tree; prints one line for each violation, exit code 1 where there is one
       layering.py --self-test    plants violations in a tree of its own and expects each to be found
"""

import pathlib
import re
import sys
import tempfile

# What a folder includes beside itself. base < os < transport < connection < session < { rpc, auth, operations, remsh1,
# buildbot, messages } < { master, slave } < programs, examples. Siblings never include each other: master and slave meet on the
# wire only, so even src/master/local_slave_listener.cpp, which starts slaves, starts them as programs.
BELOW_CALLS = {'base', 'os', 'transport', 'connection', 'session'}
CALLS = {'rpc', 'auth', 'operations', 'remsh1'}  # of both sides
ALLOWED = {
    'base': set(),
    'os': {'base'},
    'transport': {'base', 'os'},
    'connection': {'base', 'os', 'transport'},
    'session': {'base', 'os', 'transport', 'connection'},
    'rpc': BELOW_CALLS,
    'auth': BELOW_CALLS,
    'operations': BELOW_CALLS,
    'remsh1': BELOW_CALLS,
    'buildbot': BELOW_CALLS,
    'messages': BELOW_CALLS,
    'master': BELOW_CALLS | CALLS | {'buildbot'},
    'slave': BELOW_CALLS | CALLS,
    'programs': BELOW_CALLS | CALLS | {'master', 'slave'},
}

# Public headers whose layer is not their folder: the umbrellas, the version, which all may know, and
# the adapters, which nothing of ours includes.
LAYER_OF = {
    'master.hpp': 'master',
    'slave.hpp': 'slave',
    'messages.hpp': 'messages',
    'version.hpp': 'base',
    'asio.hpp': 'master',
    'fmt.hpp': 'master',
}

# Calls go over a session, which may change its connection under them: src/session/link.hpp is all that they see of it.
HIDDEN = {'rpc': {'remsh/transport/transport.hpp', 'remsh/transport/memory.hpp', 'remsh/transport/descriptors.hpp'}}

# On the master, only the files of a protocol include its parts, and the one file that lists all protocols (decision 0026).
PROTOCOLS = {
    'src/master/remsh1_': ('master/remsh1_', 'remsh1/'),
    'src/master/buildbot_': ('master/buildbot_', 'buildbot/'),
    'src/master/remsh2_': ('master/remsh2_', 'master/driven_call'),
}
LISTS_PROTOCOLS = 'src/master/slave_protocol.cpp'

# The files that may include a library: it is to be replaced, or upgraded, in one place.
DOORS = {
    'asio': {'include/remsh/asio.hpp', 'src/transport/asio.hpp', 'src/transport/asio_impl.cpp'},
    'boost': set(),
    'fmt': {'include/remsh/fmt.hpp', 'src/base/format.hpp'},
    'openssl': {
        'src/auth/hmac.cpp',
        'src/base/digest.cpp',
        'src/transport/tls_callbacks.cpp',
        'src/transport/tls_certificates.cpp',
        'src/transport/tls_engine.cpp',
        'src/transport/tls_objects.hpp',
    },
    'zstd': {'src/connection/box_data.cpp'},
}

# Only the os layer and base/clock.hpp ask the system for the steady time. All others ask the clock of their loop, so
# that a test can move the time. These files may name real_clock(): their threads wait in the operating system or on a
# condition variable, which know no other clock, or they choose the clock of a loop that they start.
REAL_TIME = {
    'src/base/clock.hpp',
    'src/base/time_left.hpp',
    'src/connection/connection.cpp',
    'src/master/blocking_backend.cpp',
    'src/master/command.cpp',
    'src/master/health_watch.cpp',
    'src/master/operation_record.cpp',
    'src/master/operation_record.hpp',
    'src/master/runtime.hpp',
    'src/master/slave_request.cpp',
    'src/master/slave_work.hpp',
    'src/master/started_request.cpp',
    'src/messages/auth_key.cpp',
    'src/messages/message_connection.cpp',
    'src/messages/started_work.hpp',
    'src/slave/command_hook.cpp',
    'src/slave/master_contact.cpp',
    'src/slave/remsh1_server.cpp',
    'src/slave/slave_server.cpp',
    'src/transport/connect.cpp',
    'src/transport/fd_transport.cpp',
    'src/transport/look_up.cpp',
    'src/transport/loop.hpp',
    'src/transport/tls_transport.cpp',
}
ASKS_SYSTEM = re.compile(r'steady_clock::now|\bhas_passed\(\)')
NAMES_REAL_CLOCK = re.compile(r'\breal_clock\(\)')

# The headers that are there for a library.
ADAPTERS = {'include/remsh/asio.hpp', 'include/remsh/fmt.hpp'}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def includes(path):
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) == '<', match.group(2)


def remsh_layer(name):
    """The layer of <remsh/NAME>; None where there is none of that name."""
    return LAYER_OF.get(name) or (name.split('/')[0] if '/' in name else None)


def check_file(root, path):
    where = path.relative_to(root).as_posix()
    parts = where.split('/')
    public = parts[0] == 'include'
    layer = remsh_layer('/'.join(parts[2:])) if public else parts[1]
    if layer not in ALLOWED:
        yield f'{where}: is in no layer'
        return
    for number, angled, name in includes(path):
        at = f'{where}:{number}: '
        for library, doors in DOORS.items():
            if (name == library or name.startswith((library + '/', library + '.'))) and where not in doors:
                who = 'only ' + ', '.join(sorted(doors)) if doors else 'nobody'
                yield f'{at}includes {name}; {who} may'
        for files, its in PROTOCOLS.items():
            is_its_file = where.startswith((files, *('src/' + part for part in its))) or where == LISTS_PROTOCOLS
            if layer == 'master' and name.startswith(its) and not is_its_file:
                yield f'{at}includes {name}; only {files}* and {LISTS_PROTOCOLS} may'
        if name in HIDDEN.get(layer, ()):
            yield f'{at}{layer} includes {name}; src/session hides it'
        if name == 'transport/asio.hpp' and layer != 'transport':
            yield f'{at}includes {name}; only src/transport may'
        if name == 'base/format.hpp' and path.suffix == '.hpp':
            yield f'{at}a header includes {name}, which costs who includes the header time to compile; only .cpp files may'
        if name.startswith('remsh/'):
            other = remsh_layer(name[len('remsh/'):])
            if not angled:
                yield f'{at}a public header is included as <{name}>'
        elif angled:
            if public and not re.fullmatch(r'[a-z_0-9]+', name) and where not in ADAPTERS:
                yield f'{at}a public header includes <{name}>; only the standard library and <remsh/...> are allowed'
            continue
        elif public:
            yield f'{at}a public header includes the private "{name}"'
            continue
        else:
            other = name.split('/')[0] if '/' in name else None
        if other not in ALLOWED:
            yield f'{at}includes {name}, which is in no layer'
        elif other != layer and other not in ALLOWED[layer]:
            yield f'{at}{layer} includes {name} of {other}'


def check_time(root):
    for path in sources(root / 'src'):
        where = path.relative_to(root).as_posix()
        if where.startswith('src/os/'):
            continue
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            if ASKS_SYSTEM.search(line) and where != 'src/base/clock.hpp':
                yield f'{where}:{number}: asks the system for the time; only src/os may: use the clock of the loop'
            if NAMES_REAL_CLOCK.search(line) and where not in REAL_TIME:
                yield f'{where}:{number}: names real_clock(); use the clock of the loop, or list the file in REAL_TIME'


def check_examples(root):
    for path in sources(root / 'examples'):
        for number, _, name in includes(path):
            if '/' in name and not name.startswith(('remsh/', 'sys/')):
                yield f'{path.relative_to(root).as_posix()}:{number}: an example includes {name}; hosts have <remsh/...>'


def sources(folder):
    return sorted(path for path in folder.rglob('*') if path.suffix in ('.hpp', '.cpp'))


def check_lists(root):
    """What no list names is not built, and a test that is not built always passes."""
    for listing, folder, pattern in (
        ('include/meson.build', 'include', '**/*.hpp'),
        ('src/meson.build', 'src', '**/*.cpp'),
        ('tests/meson.build', 'tests', '**/*_test.cpp'),
    ):
        build_file = root / listing
        listed = set(re.findall(r"'([^']+)'", build_file.read_text(encoding='utf-8'))) if build_file.exists() else set()
        for path in sorted((root / folder).glob(pattern)):
            name = path.relative_to(root / folder).as_posix()
            if name not in listed:
                yield f'{folder}/{name}: is not listed in {listing}'


def check(root):
    for path in sources(root / 'include') + sources(root / 'src'):
        yield from check_file(root, path)
    yield from check_time(root)
    yield from check_examples(root)
    yield from check_lists(root)


PLANTED = {
    'include/remsh/base/a.hpp': '#include <asio.hpp>\n#include <sys/types.h>\n#include "base/b.hpp"\n',
    'include/remsh/rpc/a.hpp': '#include <remsh/master.hpp>\n',
    'src/base/b.cpp': '#include "os/file.hpp"\n#include "transport/asio.hpp"\n#include <fmt/core.h>\n',
    'src/base/b.hpp': '#include "base/format.hpp"\n',
    'src/rpc/b.cpp': '#include "operations/operations.hpp"\n#include <remsh/transport/transport.hpp>\n',
    'src/session/b.cpp': '#include "rpc/engine.hpp"\n',
    'src/master/local_slave_listener.cpp': '#include <remsh/slave/slave_server.hpp>\n#include <openssl/hmac.h>\n',
    'src/master/admission.cpp': '#include "master/remsh1_backend.hpp"\n#include "remsh1/message.hpp"\n',
    'src/slave/b.cpp': '  #  include "master/backend.hpp"\n#include "nowhere.hpp"\n',
    'src/odd/b.cpp': '',
    'src/rpc/time.cpp': 'auto at = std::chrono::steady_clock::now();\nif (deadline.has_passed()) return real_clock().now();\n',
    'examples/b.cpp': '#include "rpc/peer.hpp"\n',
    'tests/unit/base/b_test.cpp': '',
}
EXPECTED = [
    'include/remsh/base/a.hpp:1: includes asio.hpp;',
    'include/remsh/base/a.hpp:2: a public header includes <sys/types.h>',
    'include/remsh/base/a.hpp:3: a public header includes the private "base/b.hpp"',
    'include/remsh/rpc/a.hpp:1: rpc includes remsh/master.hpp of master',
    'src/base/b.cpp:1: base includes os/file.hpp of os',
    'src/base/b.cpp:2: includes transport/asio.hpp; only src/transport may',
    'src/base/b.cpp:3: includes fmt/core.h; only include/remsh/fmt.hpp, src/base/format.hpp may',
    'src/base/b.hpp:1: a header includes base/format.hpp',
    'src/rpc/b.cpp:1: rpc includes operations/operations.hpp of operations',
    'src/rpc/b.cpp:2: rpc includes remsh/transport/transport.hpp; src/session hides it',
    'src/session/b.cpp:1: session includes rpc/engine.hpp of rpc',
    'src/master/local_slave_listener.cpp:1: master includes remsh/slave/slave_server.hpp of slave',
    'src/master/local_slave_listener.cpp:2: includes openssl/hmac.h; only src/auth/hmac.cpp, src/base/digest.cpp, '
    'src/transport/tls_callbacks.cpp, src/transport/tls_certificates.cpp, src/transport/tls_engine.cpp, src/transport/tls_objects.hpp may',
    'src/master/admission.cpp:1: includes master/remsh1_backend.hpp; only src/master/remsh1_* and src/master/slave_protocol',
    'src/master/admission.cpp:2: includes remsh1/message.hpp; only src/master/remsh1_*',
    'src/slave/b.cpp:1: slave includes master/backend.hpp of master',
    'src/slave/b.cpp:2: includes nowhere.hpp, which is in no layer',
    'src/odd/b.cpp: is in no layer',
    'src/rpc/time.cpp:1: asks the system for the time;',
    'src/rpc/time.cpp:2: asks the system for the time;',
    'src/rpc/time.cpp:2: names real_clock();',
    'examples/b.cpp:1: an example includes rpc/peer.hpp',
    'include/remsh/base/a.hpp: is not listed in include/meson.build',
    'src/base/b.cpp: is not listed in src/meson.build',
    'tests/unit/base/b_test.cpp: is not listed in tests/meson.build',
]
# What is allowed, beside it.
SOUND = {
    'include/meson.build': "'remsh/operations/good.hpp', 'remsh/rpc/a.hpp'",
    'src/meson.build': "'master/good.cpp'",
    'include/remsh/operations/good.hpp': '#include <remsh/version.hpp>\n#include <remsh/connection/box.hpp>\n#include <map>\n',
    'src/master/good.cpp': '#include "operations/operations.hpp"\n#include "rpc/peer.hpp"\n#include <remsh/base/log.hpp>\n#include <sys/wait.h>\n',
    'src/os/good.cpp': 'const auto now = std::chrono::steady_clock::now();\n',
    'src/connection/connection.cpp': 'if (deadline.has_passed(real_clock().now())) return;\n',
    'src/transport/asio.hpp': '#include <asio.hpp>\n#include <asio/steady_timer.hpp>\n',
}


def self_test():
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for where, text in {**PLANTED, **SOUND}.items():
            path = root / where
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding='utf-8')
        found = list(check(root))
    missed = [line for line in EXPECTED if not any(f.startswith(line) for f in found)]
    sound = ('src/transport/asio.hpp', 'src/connection/connection.cpp')
    wrong = [f for f in found if ('good' in f or f.startswith(sound)) and 'is not listed' not in f]
    for line in missed:
        print(f'not found: {line}')
    for line in wrong:
        print(f'found, but allowed: {line}')
    return 1 if missed or wrong else 0


def main():
    if sys.argv[1:] == ['--self-test']:
        return self_test()
    found = list(check(pathlib.Path(sys.argv[1]).resolve()))
    for line in found:
        print(line)
    return 1 if found else 0


sys.exit(main())
