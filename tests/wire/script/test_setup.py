"""script/setup on systems that it may meet: each test changes a copy of this one, in a mount namespace."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.wire

SCRIPT = Path(__file__).resolve().parents[3] / "script"
COPY_OF_THIS_SYSTEM = """
set -euo pipefail
mount -t tmpfs tmpfs /mnt
for folder in /usr/sbin /etc /var/lib/systemd; do
    copy=/mnt/${folder//\\//-}
    mkdir -p "$copy/upper" "$copy/work"
    mount -t overlay -o "lowerdir=$folder,upperdir=$copy/upper,workdir=$copy/work" overlay "$folder"
done
rm -f /usr/sbin/policy-rc.d
export PATH=/mnt/bin:$PATH
mkdir /mnt/bin
"""
PACKAGES = """\
bash             /bin/bash          # is there
bash             /bin/ba*           # is there
no-such-package  /no/such/file      # proves that setup looks
no-such-version  /no/such/*/file    # proves that patterns count
"""
# Of programs: what isn't executable isn't found.
WITHOUT = """
touch /mnt/begun
without() {
    for program; do
        for folder in /usr/bin /usr/sbin; do
            [[ ! -e $folder/$program ]] || mount --bind /dev/null "$folder/$program"
        done
    done
}
without"""
# In the place of apt-get, which the test doesn't let install anything: what maintainer scripts would do.
APT_GET = """
cat > /mnt/bin/apt-get << 'END'
#!/bin/bash
code=0; /usr/sbin/policy-rc.d || code=$?
echo "policy says $code"
for unit in tgt.service nfs-ganesha.service rpcbind.service ssh.service getty@tty1.service; do
    ln -sf "/lib/systemd/system/$unit" "/etc/systemd/system/multi-user.target.wants/$unit"
done
exit ${APT_CODE:-0}
END
chmod +x /mnt/bin/apt-get
mkdir -p /etc/systemd/system/multi-user.target.wants
rm -f /etc/systemd/system/*.wants/{tgt,nfs-ganesha,rpcbind,ssh,getty@tty1}.service
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout that needs a package which no system has."""
    project = tmp_path / "project"
    shutil.copytree(SCRIPT, project / "script")
    packages = project / "script/packages.txt"
    packages.write_text(PACKAGES)
    return project


def on_a_copy(script: str) -> subprocess.CompletedProcess[str]:
    argv = ["unshare", "--mount", "bash", "-c", COPY_OF_THIS_SYSTEM + script]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


def test_on_an_unknown_system_setup_lists_what_is_missing_and_does_nothing(project: Path) -> None:
    done = on_a_copy(
        f"""
        rm -f /etc/os-release
        printf 'ID=slackware\\nVERSION_ID=15.0\\n' > /etc/os-release
        {WITHOUT} apt-get flock sudo
        changed() {{ find {project} /etc /usr/sbin /var/lib/systemd -newer /mnt/begun | sort; }}
        changed > /mnt/before
        code=0; {project}/script/setup || code=$?
        changed | diff /mnt/before -
        exit $code
        """
    )
    assert done.returncode == 69, done.stderr
    assert_nothing_but_a_list(done, project)


def test_who_may_not_install_is_told_what_is_missing_and_nothing_is_done(project: Path) -> None:
    done = on_a_copy(
        f"""
        rm -f /etc/os-release
        printf 'ID=debian\\nVERSION_ID=12\\n' > /etc/os-release
        {WITHOUT} sudo
        unshare --user --map-user=1000 {project}/script/setup
        """
    )
    assert done.returncode == 69, done.stderr
    assert "neither root nor sudo" in done.stderr
    assert_nothing_but_a_list(done, project)


def assert_nothing_but_a_list(done: subprocess.CompletedProcess[str], project: Path) -> None:
    assert done.stdout == ""
    title, *lines, end = done.stderr.splitlines()
    assert title.startswith("setup: ")
    assert [" ".join(line.split()) for line in lines] == [
        "no-such-package proves that setup looks",
        "(/no/such/file)",
        "no-such-version proves that patterns count",
        "(/no/such/*/file)",
    ]
    assert end == "Nothing was changed."
    assert sorted(path.name for path in project.iterdir()) == ["script"]


def test_an_index_that_is_not_reached_is_asked_about_and_setup_is_not_taken_for_done(project: Path) -> None:
    (project / "script/packages.txt").write_text("")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(SCRIPT.parent / name, project)
    nowhere = "PIP_CONFIG_FILE=/dev/null PIP_RETRIES=0 PIP_INDEX_URL=http://127.0.0.1:9/simple"
    done = on_a_copy(f"env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL {nowhere} {project}/script/setup")
    assert done.returncode == 69, done.stderr
    assert "Is its package index reached from here" in done.stderr
    assert "Run this again" in done.stderr
    assert not (project / ".venv/.installed").exists()


def test_packages_that_bring_no_file_of_theirs_are_named_and_installed_all_the_same(project: Path) -> None:
    done = on_a_copy(
        f"""{APT_GET}
        rm -f /etc/os-release
        printf 'ID=debian\\nVERSION_ID=12\\n' > /etc/os-release
        {project}/script/setup
        """
    )
    assert done.returncode == 69, done.stderr
    assert "setup: installs no-such-package" in done.stdout
    assert "Still missing after the packages were installed" in done.stderr
    assert "/no/such/file" in done.stderr
    assert "Nothing was changed" not in done.stderr
    assert not (project / ".venv").exists()


def test_no_service_may_start_while_packages_are_installed_and_ours_stay_disabled(project: Path) -> None:
    done = on_a_copy(
        f"""{APT_GET}
        . {project}/script/system.sh
        install_without_services tgt
        cd /etc/systemd/system/multi-user.target.wants
        echo links: $(ls -d {{tgt,nfs-ganesha,rpcbind,ssh,getty@tty1}}.service 2> /dev/null)
        [[ -e /usr/sbin/policy-rc.d ]] || echo 'policy removed'
        """
    )
    assert done.returncode == 0, done.stderr
    assert "policy says 101" in done.stdout
    for name in ("tgt", "nfs-ganesha", "rpcbind", "ssh"):
        assert f"leaves {name}.service disabled" in done.stdout
    assert "links: getty@tty1.service\n" in done.stdout, "what a dependency enabled is not our affair"
    assert "policy removed" in done.stdout


def test_a_policy_that_was_there_is_put_back_even_when_the_installation_fails(project: Path) -> None:
    done = on_a_copy(
        f"""{APT_GET}
        printf '#!/bin/sh\\nexit 104 # mine\\n' > /usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
        export APT_CODE=100
        bash -euo pipefail -c '. {project}/script/system.sh; install_without_services tgt' ||
            echo "setup ended with $?"
        cat /usr/sbin/policy-rc.d
        ls /usr/sbin/policy-rc.d*
        """
    )
    assert "policy says 101" in done.stdout
    assert "setup ended with 100" in done.stdout
    assert "exit 104 # mine" in done.stdout
    assert "before-setup" not in done.stdout


def test_a_policy_that_a_killed_setup_left_is_removed_by_the_next(project: Path) -> None:
    done = on_a_copy(
        f"""{APT_GET}
        printf '# Placed by script/setup while it installs packages.' > /usr/sbin/policy-rc.d
        printf 'mine' > /usr/sbin/policy-rc.d.before-setup
        . {project}/script/system.sh
        install_without_services tgt > /dev/null
        cat /usr/sbin/policy-rc.d
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "mine"
