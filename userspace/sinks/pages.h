// SPDX-License-Identifier: Apache-2.0
// The table of the pages of `monitor serve`. A new page is one row and the functions that it names.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "http/message.h"
#include "model/sample.h"
#include "output/series_choice.h"

namespace monitor {

// What is the same for every response of one `monitor serve`.
struct ServedBy {
  std::string version;  // of this program
  SeriesChoice choice;
};

struct Page {
  const char* path;
  // Returns the content type to respond with, by the request's Accept field.
  std::string (*content_type)(std::string_view accept);
  // Makes the response from a sample. The exporter keeps it for all requests that get the same content type from the
  // same sample.
  HttpResponse (*respond)(const Sample& sample, std::string_view accept, ServedBy& by);
};

// In the order in which a 404 lists them.
std::span<const Page> pages();

}  // namespace monitor
