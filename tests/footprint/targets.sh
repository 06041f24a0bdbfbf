# shellcheck shell=sh
# How C is compiled and linked for each target of ffi/firmware.sh, to be sourced after tests/setup.sh.

ALL_TARGETS="thumbv7m-none-eabi thumbv7em-none-eabi thumbv7em-none-eabihf thumbv8m.main-none-eabi
    thumbv8m.main-none-eabihf riscv32imac-unknown-none-elf"

# use_target TARGET: sets tool (the prefix of compiler and tools), cpu (flags), libc (flags of a
# small C library), and board (an emulated one, where there is one).
use_target() {
    tool=arm-none-eabi
    libc="--specs=nano.specs --specs=nosys.specs"
    board=
    case $1 in
    thumbv7m-none-eabi) cpu="-mcpu=cortex-m3 -mthumb" board=mps2-an385 ;;
    thumbv7em-none-eabi) cpu="-mcpu=cortex-m4 -mthumb" board=mps2-an386 ;;
    thumbv7em-none-eabihf)
        cpu="-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16"
        board=mps2-an386
        ;;
    thumbv8m.main-none-eabi) cpu="-mcpu=cortex-m33+nofp -mthumb" ;;
    thumbv8m.main-none-eabihf) cpu="-mcpu=cortex-m33 -mthumb -mfloat-abi=hard -mfpu=fpv5-sp-d16" ;;
    riscv32imac-unknown-none-elf)
        tool=riscv64-unknown-elf
        cpu="-march=rv32imac -mabi=ilp32"
        # Room for it, at no board's addresses.
        libc="--specs=picolibc.specs -Wl,--defsym=__flash=0x80000000,--defsym=__flash_size=4M
            -Wl,--defsym=__ram=0x90000000,--defsym=__ram_size=1M"
        ;;
    *) die "no C compiler is known for $1" ;;
    esac
    if [ "$tool" = riscv64-unknown-elf ]; then
        need_command riscv64-unknown-elf-gcc gcc-riscv64-unknown-elf
        need_packages picolibc-riscv64-unknown-elf
    else
        need_command arm-none-eabi-gcc gcc-arm-none-eabi
        need_packages libnewlib-arm-none-eabi
    fi
}
