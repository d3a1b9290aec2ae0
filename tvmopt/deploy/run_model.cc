// Runs a compiled model from C++, with TVM's runtime only. README.md says how to build and call it.
//
//   run_model MODEL.so --input SHAPE:FILE ... --output FILE ... [--runs N] [--threads N]
//
// MODEL.so is the library of an artifact (tar xf model.tar model.so). Inputs are raw float32 in the order of the
// manifest, such as 1,3,224,224:picture.bin; outputs are written raw, one file each, in the order of the manifest.

#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/error.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace ffi = tvm::ffi;

namespace {

constexpr DLDevice kCpu = {kDLCPU, 0};
constexpr DLDataType kFloat32 = {kDLFloat, 32, 1};
constexpr int kPooledAllocator = 2;    // the runtime keeps freed memory for the next run
constexpr std::size_t kAlignment = 64;  // compiled kernels rely on it

constexpr const char* kUsage =
    "usage: run_model MODEL.so --input SHAPE:FILE ... --output FILE ... [--runs N] [--threads N]";

// Something the user can put right, in one line.
struct UserError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string library;
  std::vector<std::string> inputs;  // SHAPE:FILE
  std::vector<std::string> outputs;
  int runs = 1;
  int threads = 0;  // 0: as the runtime thinks fit
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
      if (!options.library.empty()) throw UserError("got two models, '" + options.library + "' and '" + word + "'");
      options.library = word;
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
  if (options.library.empty()) throw UserError(std::string("no model given; ") + kUsage);
  return options;
}

struct AlignedAllocator {
  void AllocData(DLTensor* tensor) {
    const std::size_t size = std::max(ffi::GetDataSize(*tensor), std::size_t{1});
    tensor->data = std::aligned_alloc(kAlignment, (size + kAlignment - 1) / kAlignment * kAlignment);
    if (tensor->data == nullptr) throw UserError("no memory for an input of " + std::to_string(size) + " bytes");
  }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};

// "1,3,224,224" -> {1, 3, 224, 224}
std::vector<int64_t> ParseShape(const std::string& text) {
  std::vector<int64_t> shape;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t comma = std::min(text.find(',', start), text.size());
    shape.push_back(PositiveNumber("a size in the shape '" + text + "'", text.substr(start, comma - start)));
    start = comma + 1;
  }
  return shape;
}

uint64_t FloatBytes(const std::vector<int64_t>& shape) {
  uint64_t bytes = sizeof(float);
  for (const int64_t size : shape) {
    if (bytes > (uint64_t{1} << 48) / static_cast<uint64_t>(size)) throw UserError("a shape is too large");
    bytes *= static_cast<uint64_t>(size);
  }
  return bytes;
}

uint64_t FileSize(const std::string& what, const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) throw UserError("there is no " + what + " file '" + path + "'");
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw UserError("cannot read " + what + " file '" + path + "': " + error.message());
  return size;
}

// The tensor that SHAPE:FILE describes.
ffi::Tensor ReadInput(const std::string& argument) {
  const std::size_t colon = argument.find(':');
  if (colon == std::string::npos) {
    throw UserError("--input takes SHAPE:FILE, such as 1,3,224,224:picture.bin; got '" + argument + "'");
  }
  const std::string shape_text = argument.substr(0, colon), path = argument.substr(colon + 1);
  const std::vector<int64_t> shape = ParseShape(shape_text);
  const uint64_t size = FileSize("input", path), wanted = FloatBytes(shape);
  if (size != wanted) {
    throw UserError("input file '" + path + "' has " + std::to_string(size) + " bytes; the shape " + shape_text +
                    " takes " + std::to_string(wanted) + " (float32)");
  }
  ffi::Tensor tensor =
      ffi::Tensor::FromNDAlloc(AlignedAllocator(), ffi::Shape(shape.begin(), shape.end()), kFloat32, kCpu);
  std::ifstream file(path, std::ios::binary);
  file.read(static_cast<char*>(tensor.data_ptr()), static_cast<std::streamsize>(size));
  if (!file) throw UserError("cannot read input file '" + path + "'");
  return tensor;
}

ffi::Function Require(const ffi::Module& module, const char* name, const std::string& path) {
  const ffi::Optional<ffi::Function> function = module->GetFunction(name);
  if (!function.has_value()) throw UserError("'" + path + "' is no model that tvmopt compiled: it lacks " + name);
  return *function;
}

// The library's virtual machine, ready to run.
ffi::Module LoadModel(const std::string& library) {
  FileSize("model", library);
  if (std::filesystem::path(library).extension() != ".so") {
    throw UserError("'" + library + "' is no library: unpack model.so from the artifact, tar xf ARTIFACT.tar model.so");
  }
  // Without a slash the system would look for the file among its own libraries.
  const std::string path = library.find('/') == std::string::npos ? "./" + library : library;
  const ffi::Module module = ffi::Module::LoadFromFile(path);
  const ffi::Module machine = Require(module, "vm_load_executable", library)().cast<ffi::Module>();
  Require(machine, "vm_initialization", library)(static_cast<int>(kCpu.device_type), kCpu.device_id, kPooledAllocator);
  return machine;
}

// One tensor for each output of the model, whether it has one or several.
std::vector<ffi::Tensor> Outputs(const ffi::Any& result) {
  if (const auto tensor = result.as<ffi::Tensor>()) return {*tensor};
  std::vector<ffi::Tensor> tensors;
  for (const ffi::Tensor& tensor : result.cast<ffi::Array<ffi::Tensor>>()) tensors.push_back(tensor);
  return tensors;
}

void WriteOutput(const ffi::Tensor& tensor, const std::string& path) {
  const std::size_t size = ffi::GetDataSize(tensor);
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(tensor.data_ptr()), static_cast<std::streamsize>(size));
  file.close();
  if (!file) throw UserError("cannot write output file '" + path + "'");
}

std::string Describe(const ffi::Tensor& tensor) {
  std::string text = std::string(ffi::DLDataTypeToString(tensor.dtype()));
  char separator = ' ';
  for (const int64_t size : tensor.shape()) {
    text += separator + std::to_string(size);
    separator = ',';
  }
  return text;
}

void Run(const Options& options) {
  if (options.threads > 0) setenv("TVM_NUM_THREADS", std::to_string(options.threads).c_str(), 1);
  const ffi::Module model = LoadModel(options.library);
  const ffi::Function main = Require(model, "main", options.library);
  const int arity = Require(model, "get_function_arity", options.library)("main").cast<int>();
  if (arity != static_cast<int>(options.inputs.size())) {
    throw UserError("the model takes " + std::to_string(arity) + " inputs, got " +
                    std::to_string(options.inputs.size()) + "; " + kUsage);
  }
  std::vector<ffi::Tensor> inputs;
  for (const std::string& argument : options.inputs) inputs.push_back(ReadInput(argument));
  const std::vector<ffi::AnyView> arguments(inputs.begin(), inputs.end());

  ffi::Any result;
  const auto run = [&] { main.CallPacked(arguments.data(), static_cast<int32_t>(arguments.size()), &result); };
  run();  // the first run also starts threads and allocates memory
  const std::vector<ffi::Tensor> outputs = Outputs(result);
  if (outputs.size() != options.outputs.size()) {
    throw UserError("the model gives " + std::to_string(outputs.size()) + " outputs, got " +
                    std::to_string(options.outputs.size()) + " files for them; " + kUsage);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    WriteOutput(outputs[i], options.outputs[i]);
    std::printf("%s: %s\n", options.outputs[i].c_str(), Describe(outputs[i]).c_str());
  }

  std::vector<double> latencies_ms;
  for (int i = 0; i < options.runs; ++i) {
    const auto began = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
    latencies_ms.push_back(took.count());
  }
  std::sort(latencies_ms.begin(), latencies_ms.end());
  std::printf("latency: median %.3f ms of %d runs\n", latencies_ms[latencies_ms.size() / 2], options.runs);
}

}  // namespace

int main(int count, char** words) {
  try {
    Run(ParseArguments(count, words));
    return 0;
  } catch (const UserError& error) {
    std::fprintf(stderr, "run_model: error: %s\n", error.what());
    return 2;
  } catch (const ffi::Error& error) {
    std::fprintf(stderr, "run_model: error: %s\n", error.message().c_str());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_model: error: %s\n", error.what());
    return 1;
  }
}
