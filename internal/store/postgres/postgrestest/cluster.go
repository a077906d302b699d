package postgrestest

import "syscall"

// Folder makes a folder for clusters of the server binaries of this machine (Programs), and names who owns it and must
// run them: the server refuses root. A nil owner is the user of this process. The caller removes the folder.
func Folder() (folder string, owner *syscall.Credential, err error) {
	owner, err = unprivileged()
	if err != nil {
		return "", nil, err
	}
	folder, err = clusterFolder(owner)
	return folder, owner, err
}
