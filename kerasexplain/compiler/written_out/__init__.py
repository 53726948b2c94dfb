"""Code that writes out by simple operations what a layer would be one operation of, understood as that one."""
