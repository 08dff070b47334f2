import sys
from pathlib import Path

# Tests are no package: plain modules here, such as `conformance`, are shared by importing them.
sys.path.insert(0, str(Path(__file__).parent))
