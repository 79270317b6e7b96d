#!/bin/sh
# Removes from a folder of installed packages what no container uses: the packages' own tests, programs, headers, and OpenVINO's
# plugins for other devices and readers of other formats.
set -eu
cd "$1"
rm -rf bin share
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find . -name '*.pyi' -delete
rm -rf numpy/f2py numpy/distutils zstandard/_cffi.*.so
if [ -d openvino ]; then
  cd openvino
  rm -rf include cmake
  rm -f libs/*_gpu_* libs/*_npu_* libs/*_auto_* libs/*_hetero_* libs/cache.json
  find libs -name '*_frontend.so*' ! -name '*_ir_*' -delete
fi
