"""What is typed at the shell: a file a verb, whose `command` holds its options; what takes long to do lies in a folder."""
