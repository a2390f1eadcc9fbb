// What is derived from the key of a slave: docs/protocol.md section 4.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>

#include <string>
#include <string_view>

namespace remsh::auth {

/// k(purpose): the key for one use, which is one of kid, tls, slave, master, resume and enrol.
[[nodiscard]] Secret derive(const Secret& key, std::string_view purpose);

/// The key id: 8 lower-case hex digits, which may be shown.
[[nodiscard]] std::string kid(const Secret& key);

/// True for what kid() can return.
[[nodiscard]] bool is_kid(BytesView text) noexcept;

}  // namespace remsh::auth
