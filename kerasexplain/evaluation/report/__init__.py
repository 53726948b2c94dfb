"""The page that shows a comparison, and the files by which an interrupted one continues."""
