// SPDX-License-Identifier: Apache-2.0
#include "session/parts.h"

#include <sys/socket.h>

#include <algorithm>

#include "session/links.h"
#include "session/sockets.h"

namespace monitor {

std::vector<std::string> objects_of_unix_part(const SocketList& held) {
  const bool listens = std::any_of(held.sockets.begin(), held.sockets.end(), [](const ListedSocket& socket) {
    return socket.family == AF_UNIX && is_listening(socket);
  });
  return listens ? std::vector<std::string>{kKernel} : std::vector<std::string>();
}

}  // namespace monitor
