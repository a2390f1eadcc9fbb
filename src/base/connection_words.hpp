// Messages for the end of a connection.
#pragma once

#include <string>

namespace remsh {

inline constexpr const char* closed_without_goodbye =
    "the connection was closed without a goodbye: the process of the other side was killed or crashed, or something "
    "between closed it";
inline constexpr const char* cut_in_message =
    "the connection was cut in the middle of a message: the process of the other side was killed, or the network "
    "failed";

/// The message for an `action`, read or write, that failed with this errno value.
std::string connection_broke(const char* action, int error);

}  // namespace remsh
