// Runs a compiled model from C++, needing only the C library. README.md says how to build and call it.
//
//   run_model MODEL --input SHAPE:FILE ... --output FILE ... [--runs N] [--threads N]
//
// MODEL is a folder with model.so and weights.bin of an artifact (tar xf model.tar -C MODEL). Input and output files
// hold the elements of one tensor in row-major order; the manifest gives the order of the files.

#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include "model.h"

namespace {

constexpr std::size_t kLargePage = std::size_t{2} << 20;

constexpr const char* kUsage =
    "usage: run_model MODEL --input SHAPE:FILE ... --output FILE ... [--runs N] [--threads N]";

// An error that the user can fix, in one line.
struct UserError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string model;
  std::vector<std::string> inputs;  // SHAPE:FILE
  std::vector<std::string> outputs;
  int runs = 1;
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
};

int PositiveNumber(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < 1 || value > 1000000000) {
    throw UserError(option + " takes a whole number above zero, got '" + text + "'");
  }
  return static_cast<int>(value);
}

Options ParseArguments(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word.rfind("--", 0) != 0) {
      if (!options.model.empty()) throw UserError("got two models, '" + options.model + "' and '" + word + "'");
      options.model = word;
      continue;
    }
    if (i + 1 == count) throw UserError(word + " needs a value; " + kUsage);
    const std::string value = words[++i];
    if (word == "--input") {
      options.inputs.push_back(value);
    } else if (word == "--output") {
      options.outputs.push_back(value);
    } else if (word == "--runs") {
      options.runs = PositiveNumber(word, value);
    } else if (word == "--threads") {
      options.threads = PositiveNumber(word, value);
    } else {
      throw UserError("unknown option '" + word + "'; " + kUsage);
    }
  }
  if (options.model.empty()) throw UserError(std::string("no model given; ") + kUsage);
  return options;
}

std::uintmax_t FileSize(const std::string& what, const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) throw UserError("there is no " + what + " file '" + path + "'");
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw UserError("cannot read " + what + " file '" + path + "': " + error.message());
  return size;
}

void ReadFile(const std::string& what, const std::string& path, void* memory, std::size_t bytes) {
  std::ifstream file(path, std::ios::binary);
  file.read(static_cast<char*>(memory), static_cast<std::streamsize>(bytes));
  if (!file) throw UserError("cannot read " + what + " file '" + path + "'");
}

// The weights in memory, on large pages if available, since every run reads all of them.
class Weights {
 public:
  Weights(const std::string& path, std::int64_t wanted) {
    const std::uintmax_t size = FileSize("weights", path);
    if (size != static_cast<std::uintmax_t>(wanted)) {
      throw UserError("weights file '" + path + "' has " + std::to_string(size) + " bytes, the model takes " +
                      std::to_string(wanted));
    }
    const std::size_t bytes = static_cast<std::size_t>(size);
    whole_ = bytes + kLargePage;
    block_ = mmap(nullptr, whole_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block_ == MAP_FAILED) throw UserError("no memory for " + std::to_string(bytes) + " bytes of weights");
    std::size_t space = whole_;
    data_ = block_;
    std::align(kLargePage, bytes, data_, space);
#if defined(MADV_HUGEPAGE)
    madvise(block_, whole_, MADV_HUGEPAGE);
#endif
    ReadFile("weights", path, data_, bytes);
  }
  ~Weights() { munmap(block_, whole_); }
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  const void* data() const { return data_; }

 private:
  std::size_t whole_;
  void* block_;
  void* data_;
};

// The functions of model.h that this program uses.
struct Library {
  explicit Library(const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays open until the program ends
    if (handle == nullptr) throw UserError("cannot load '" + path + "': " + dlerror());
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(handle, name));
      if (function == nullptr) throw UserError("'" + path + "' is no model that tvmopt compiled: it lacks " + name);
    };
    find(weights_bytes, "tvmopt_weights_bytes");
    find(open, "tvmopt_open");
    find(close, "tvmopt_close");
    find(input_spec, "tvmopt_input_spec");
    find(output_spec, "tvmopt_output_spec");
    find(input, "tvmopt_input");
    find(output, "tvmopt_output");
    find(run, "tvmopt_run");
    find(error, "tvmopt_error");
  }

  decltype(&tvmopt_weights_bytes) weights_bytes;
  decltype(&tvmopt_open) open;
  decltype(&tvmopt_close) close;
  decltype(&tvmopt_input_spec) input_spec;
  decltype(&tvmopt_output_spec) output_spec;
  decltype(&tvmopt_input) input;
  decltype(&tvmopt_output) output;
  decltype(&tvmopt_run) run;
  decltype(&tvmopt_error) error;
};

// "1,3,224,224"
std::string ShapeText(const tvmopt_spec& spec) {
  std::string text;
  for (int i = 0; i < spec.ndim; ++i) text += (i > 0 ? "," : "") + std::to_string(spec.shape[i]);
  return text;
}

// The model in a folder, ready to run.
class Model {
 public:
  explicit Model(const Options& options)
      : library_(options.model + "/model.so"), weights_(options.model + "/weights.bin", library_.weights_bytes()) {
    model_ = library_.open(weights_.data(), options.threads);
    if (model_ == nullptr) {
      throw UserError("no memory for the model, or no " + std::to_string(options.threads) + " threads");
    }
  }
  ~Model() { library_.close(model_); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  void CheckCounts(std::size_t inputs, std::size_t outputs) const {
    std::int32_t takes = 0, gives = 0;
    while (library_.input_spec(takes) != nullptr) ++takes;
    while (library_.output_spec(gives) != nullptr) ++gives;
    if (static_cast<std::size_t>(takes) != inputs) {
      throw UserError("the model takes " + std::to_string(takes) + " inputs, got " + std::to_string(inputs) + "; " +
                      kUsage);
    }
    if (static_cast<std::size_t>(gives) != outputs) {
      throw UserError("the model gives " + std::to_string(gives) + " outputs, got " + std::to_string(outputs) +
                      " files for them; " + kUsage);
    }
  }

  // Reads the file of SHAPE:FILE into the model's input buffer.
  void ReadInput(std::int32_t index, const std::string& argument) {
    const std::size_t colon = argument.find(':');
    if (colon == std::string::npos) {
      throw UserError("--input takes SHAPE:FILE, such as 1,3,224,224:picture.bin; got '" + argument + "'");
    }
    const std::string shape = argument.substr(0, colon), path = argument.substr(colon + 1);
    const tvmopt_spec& spec = *library_.input_spec(index);
    if (shape != ShapeText(spec)) {
      throw UserError("input " + std::to_string(index + 1) + " has the shape " + ShapeText(spec) + ", got '" + shape +
                      "'");
    }
    const std::uintmax_t size = FileSize("input", path);
    if (size != static_cast<std::uintmax_t>(spec.bytes)) {
      throw UserError("input file '" + path + "' has " + std::to_string(size) + " bytes; the shape " + shape +
                      " takes " + std::to_string(spec.bytes) + " (" + spec.dtype + ")");
    }
    ReadFile("input", path, library_.input(model_, index), static_cast<std::size_t>(size));
  }

  void Run() {
    if (library_.run(model_) != 0) throw std::runtime_error(library_.error(model_));
  }

  void WriteOutput(std::int32_t index, const std::string& path) const {
    const tvmopt_spec& spec = *library_.output_spec(index);
    std::ofstream file(path, std::ios::binary);
    file.write(static_cast<const char*>(library_.output(model_, index)), static_cast<std::streamsize>(spec.bytes));
    file.close();
    if (!file) throw UserError("cannot write output file '" + path + "'");
    std::printf("%s: %s %s\n", path.c_str(), spec.dtype, ShapeText(spec).c_str());
  }

 private:
  Library library_;
  Weights weights_;
  tvmopt_model* model_;
};

void CheckModel(const std::string& folder) {
  if (std::filesystem::is_regular_file(folder)) {
    throw UserError("'" + folder + "' is no folder: unpack the artifact, tar xf ARTIFACT.tar -C FOLDER");
  }
  FileSize("model", folder + "/model.so");
  if (!std::filesystem::exists(folder + "/weights.bin")) {
    throw UserError("there is no weights file '" + folder +
                    "/weights.bin'; a model whose artifact has none needs TVM's runtime");
  }
}

void Run(const Options& options) {
  CheckModel(options.model);
  Model model(options);
  model.CheckCounts(options.inputs.size(), options.outputs.size());
  std::int32_t index = 0;
  for (const std::string& argument : options.inputs) model.ReadInput(index++, argument);
  model.Run();  // the first run also wakes threads and touches memory
  index = 0;
  for (const std::string& path : options.outputs) model.WriteOutput(index++, path);

  std::vector<float> latencies_ms;
  for (int i = 0; i < options.runs; ++i) {
    const auto began = std::chrono::steady_clock::now();
    model.Run();
    const std::chrono::duration<float, std::milli> took = std::chrono::steady_clock::now() - began;
    latencies_ms.push_back(took.count());
  }
  std::sort(latencies_ms.begin(), latencies_ms.end());
  std::printf("latency: median %.3f ms of %d runs\n", static_cast<double>(latencies_ms[latencies_ms.size() / 2]),
              options.runs);
}

}  // namespace

int main(int count, char** words) {
  try {
    Run(ParseArguments(count, words));
    return 0;
  } catch (const UserError& error) {
    std::fprintf(stderr, "run_model: error: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_model: error: %s\n", error.what());
    return 1;
  }
}
