"""What a release is made with: the build, the list of licences, the trial of environments."""
