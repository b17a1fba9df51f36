"""Video with temporal consistency (Ruder, Dosovitskiy & Brox 2016): frames, motion, sequence, job, report.

Nothing is imported here: PyAV and OpenCV come with the extra ``impasto[video]``, and the command line
must not wait for them.
"""
