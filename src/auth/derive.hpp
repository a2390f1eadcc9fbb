// Values derived from the key of a slave: docs/protocol.md section 4.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>

#include <string>
#include <string_view>

namespace remsh::auth {

/// k(purpose): the key for one purpose: kid, tls, slave, master, resume or enrol.
[[nodiscard]] Secret derive(const Secret& key, std::string_view purpose);

/// The key id: 8 lower-case hex digits, not secret.
[[nodiscard]] std::string kid(const Secret& key);

/// True if kid() could return this text.
[[nodiscard]] bool is_kid(BytesView text) noexcept;

}  // namespace remsh::auth
