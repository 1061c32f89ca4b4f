"""The 76 drawings with other schedulers, steps and guidance.

    … python benchmarks/whole/settings.py own,12,2.5 euler-a,12,2.5
"""

import os
WORK = os.environ["WORK"]
import sys,time,numpy as np
from pathlib import Path
from seediff.models.registry import load_model
from seediff.models.schedulers import use_scheduler
from seediff.mini.quality import prompts, draw_images
specs=prompts(38,76)
base=load_model("mini"); kept=base.pipe.scheduler
for a in sys.argv[1:]:
    name,steps,g=a.split(','); out=Path(f'{WORK}/pilots/{name}_{steps}_{g}.npy'); out.parent.mkdir(exist_ok=True)
    if out.exists(): continue
    base.pipe.scheduler=kept
    if name!='own': use_scheduler(base.pipe,base.family,name)
    t=time.time(); c=time.process_time()
    im=draw_images(base,specs,int(steps),float(g)); np.save(out,np.stack(im)); print(a,'wall',round(time.time()-t,1),'cpu',round(time.process_time()-c,1),flush=True)
