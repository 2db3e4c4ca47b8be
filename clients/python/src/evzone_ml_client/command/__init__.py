"""The command `evzone-ml`. Its packages are installed by `pip install 'evzone-ml-client[command]'`."""
