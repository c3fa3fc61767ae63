"""Which of a kernel's modules a ramdisk is taken with."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.ramdisk.kernel import chosen
from provisioner.ramdisk.recipe import ARCHITECTURES, Kernel

BEHIND_AN_EMMC: dict[str, tuple[str, ...]] = {
    "drivers/mmc/host/sdhci-of-arasan.ko": (),  # of an RK3399; and what its device tree puts behind it
    "drivers/phy/rockchip/phy-rockchip-emmc.ko": (),
    "drivers/i2c/busses/i2c-rk3x.ko": (),
    "drivers/mfd/rk808.ko": (),
    "drivers/regulator/rk808-regulator.ko": ("drivers/mfd/rk808.ko",),
    "drivers/regulator/pwm-regulator.ko": (),
    "drivers/pwm/pwm-rockchip.ko": (),
    "drivers/nvmem/nvmem_rockchip_efuse.ko": (),
}
OF_OTHER_BOARDS = (
    *("drivers/bus/sunxi-rsb.ko", "drivers/clk/meson/axg.ko", "drivers/gpio/gpio-pca953x.ko"),
    *("drivers/i2c/muxes/i2c-mux-gpio.ko", "drivers/pinctrl/pinctrl-rk805.ko", "drivers/reset/reset-scmi.ko"),
    *("drivers/spi/spi-rockchip.ko", "drivers/ufs/host/ufs-hisi.ko", "drivers/extcon/extcon-usb-gpio.ko"),
    *("drivers/usb/chipidea/ci_hdrc_imx.ko", "drivers/usb/dwc2/dwc2.ko", "drivers/usb/dwc3/dwc3.ko"),
    *("drivers/usb/musb/sunxi.ko", "drivers/usb/phy/phy-generic.ko", "drivers/dma/pl330.ko"),
)
"""A module of each folder that Debian's initramfs-tools takes whole on arm, and of some more."""

OF_NO_USE = ("drivers/watchdog/dw_wdt.ko", "sound/soc/rockchip/snd-soc-rockchip-i2s.ko")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An extracted kernel package: its index alone."""
    modules = tmp_path / "lib/modules/6.1.0-1-arm64"
    modules.mkdir(parents=True)
    depends = BEHIND_AN_EMMC | dict.fromkeys(OF_OTHER_BOARDS + OF_NO_USE, ())
    lines = (f"kernel/{name}: {' '.join(f'kernel/{n}' for n in needs)}\n" for name, needs in depends.items())
    (modules / "modules.dep").write_text("".join(lines))
    return tmp_path


def taken(tree: Path, arch: str, kernel: Kernel) -> set[str]:
    return {name.removeprefix("kernel/") for name in chosen(tree, ARCHITECTURES[arch].modules(kernel))}


@pytest.mark.parametrize("arch", ["arm64", "armhf"])
def test_a_board_s_disk_comes_with_all_that_its_device_tree_puts_behind_it(tree: Path, arch: str) -> None:
    assert taken(tree, arch, "hardware") == {*BEHIND_AN_EMMC, *OF_OTHER_BOARDS}


def test_where_no_board_boots_what_boards_need_is_left_out(tree: Path) -> None:
    virtual_machines, servers = taken(tree, "arm64", "cloud"), taken(tree, "amd64", "hardware")
    assert virtual_machines == servers == {"drivers/mmc/host/sdhci-of-arasan.ko"}
