"""Which kind of file system a folder is on."""

from pathlib import Path

_NETWORK = frozenset({
    *("9p", "afs", "beegfs", "ceph", "cifs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"),
    *("ocfs2", "smb2", "smb3", "smbfs", "virtiofs"),
    *("fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
})  # fmt: skip


def network_file_system(folder: Path) -> str:
    """The kind of the folder's file system, such as `nfs4`, if other machines may write to it; otherwise an empty text.

    Processes of several machines cannot share SQLite's write-ahead log.
    """
    import psutil

    real, best, kind = folder.resolve(), -1, ""
    for mount in psutil.disk_partitions(all=True):
        point = Path(mount.mountpoint)
        if real.is_relative_to(point) and len(point.parts) >= best:  # the last of several on one another is on top
            best, kind = len(point.parts), mount.fstype.lower()
    return kind if kind in _NETWORK else ""
